//! Attribution, from manifests to verdicts: the documented semantics, other people's tables, a model, and bad input.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does, by panicking")]

#[path = "attribute/bad_input.rs"]
mod bad_input;
#[path = "attribute/conformance.rs"]
mod conformance;
#[path = "attribute/dialects.rs"]
mod dialects;
#[path = "attribute/directories.rs"]
mod directories;
#[path = "attribute/documented.rs"]
mod documented;
#[path = "attribute/gateway.rs"]
mod gateway;
#[path = "attribute/gateway_model.rs"]
mod gateway_model;
#[path = "attribute/gherkin.rs"]
mod gherkin;
#[path = "attribute/index.rs"]
mod index;
#[path = "attribute/model.rs"]
mod model;
#[path = "attribute/support.rs"]
mod support;
#[path = "attribute/verdicts.rs"]
mod verdicts;
