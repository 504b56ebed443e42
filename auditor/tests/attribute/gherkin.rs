//! Reads as much of Gherkin as the conformance features use: a background, scenarios, steps, their text blocks and tables.

/// A feature.
#[derive(Debug, Default)]
pub(crate) struct Feature {
    /// Steps that precede each scenario.
    pub(crate) background: Vec<Step>,
    /// Scenarios, those of outlines expanded.
    pub(crate) scenarios: Vec<Scenario>,
}

/// A scenario.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// A step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What follows its keyword.
    pub(crate) text: String,
    /// The block between `"""`, its indentation taken off.
    pub(crate) block: Option<String>,
}

impl Step {
    /// The quoted part of the step that is the `index`th.
    pub(crate) fn quoted(&self, index: usize) -> Option<&str> {
        self.text.split('"').skip(1).step_by(2).nth(index)
    }
}

/// Reads a feature.
pub(crate) fn parse(text: &str) -> Feature {
    let mut feature = Feature::default();
    let mut examples: Option<Vec<Vec<String>>> = None;
    let mut in_background = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("Scenario Outline:").or(trimmed.strip_prefix("Scenario:")) {
            expand(&mut feature, examples.take());
            in_background = false;
            feature.scenarios.push(Scenario { name: name.trim().to_owned(), steps: Vec::new() });
        } else if trimmed == "Background:" {
            in_background = true;
        } else if trimmed == "Examples:" {
            examples = Some(Vec::new());
        } else if trimmed.starts_with('|') {
            // A table under a step describes headers; the one under Examples is what the outline is run with.
            if let Some(rows) = &mut examples {
                let cells = trimmed.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
                rows.push(cells.collect());
            }
        } else if trimmed == "\"\"\"" {
            let indent = line.len() - line.trim_start().len();
            let body = lines.by_ref().take_while(|line| line.trim() != "\"\"\"");
            let block =
                body.map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n");
            last_step(&mut feature, in_background).block = Some(block);
        } else if let Some(step) =
            ["Given ", "When ", "Then ", "And "].iter().find_map(|word| trimmed.strip_prefix(word))
        {
            let step = Step { text: step.to_owned(), block: None };
            match feature.scenarios.last_mut() {
                Some(scenario) if !in_background => scenario.steps.push(step),
                _ => feature.background.push(step),
            }
        }
    }
    expand(&mut feature, examples);
    feature
}

fn last_step(feature: &mut Feature, in_background: bool) -> &mut Step {
    let steps = match feature.scenarios.last_mut() {
        Some(scenario) if !in_background => &mut scenario.steps,
        _ => &mut feature.background,
    };
    steps.last_mut().expect("a block follows a step")
}

/// Replaces the last scenario by one for each row.
fn expand(feature: &mut Feature, examples: Option<Vec<Vec<String>>>) {
    let Some(rows) = examples else { return };
    let outline = feature.scenarios.pop().expect("examples follow an outline");
    let (head, rows) = rows.split_first().expect("examples have a head");
    for row in rows {
        let mut steps = outline.steps.clone();
        for step in &mut steps {
            for (name, value) in head.iter().zip(row) {
                step.text = step.text.replace(&format!("<{name}>"), value);
            }
        }
        feature.scenarios.push(Scenario { name: format!("{} {row:?}", outline.name), steps });
    }
}
