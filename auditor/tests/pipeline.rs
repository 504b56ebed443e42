//! The whole pipeline against a model: conversations through a controller, as TCP may deliver them and capture may see them.
//!
//! A generated world (clients, a controller, backends) acts in any order that causality allows; its bytes are cut, put out
//! of order, sent again with other cuts, and left out where the pipeline said that it does not need them. The events must
//! be those of the world: none missing, none more, the same bytes, and no join that is called exact and is wrong. Where
//! capture loses segments, no event may be invented, and what is missing must be told.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "places in the model's own tables")]

#[path = "pipeline/judge.rs"]
mod judge;
#[path = "pipeline/messages.rs"]
mod messages;
#[path = "pipeline/network.rs"]
mod network;
#[path = "pipeline/plan.rs"]
mod plan;
#[path = "pipeline/world.rs"]
mod world;

use proptest::prelude::*;

use network::Capture;
use world::World;

proptest! {
    #[test]
    fn every_request_and_nothing_else(plan in plan::plan(), seed in any::<u64>()) {
        let seen = World::new(&plan, seed, Capture::Whole).run();
        judge::whole(&plan, &seen);
    }

    #[test]
    fn losses_are_told_and_nothing_is_invented(plan in plan::plan(), seed in any::<u64>(), percent in 1..30_u64) {
        let seen = World::new(&plan, seed, Capture::Losing { percent }).run();
        judge::losing(&plan, &seen);
    }
}
