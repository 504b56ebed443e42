//! Where the targets are the pods of a node: attached to as their cgroups appear.

use std::collections::BTreeSet;

use tracing::warn;

use super::{Attacher, Decoder, Sought, Watched};
use crate::run::error::RunError;
use crate::run::node::Found;

impl Attacher<'_> {
    /// Attaches to pods' cgroups that are not attached to yet.
    pub(super) fn attach_pods(&mut self, decoder: &Decoder, found: Vec<Found>) -> Result<(), RunError> {
        for (controller, cgroup) in found {
            if self.targets.iter().any(|watched| watched.cgroup == cgroup) {
                continue;
            }
            let sought = Sought::Pod(Box::new(controller.clone()));
            self.targets.push(Watched { sought, cgroup, attached: None });
            match self.attach(decoder, self.targets.len() - 1) {
                Ok(()) => {}
                Err(RunError::Channel(error)) => return Err(RunError::Channel(error)),
                // The cgroup may have gone again; else it is tried again with the next look.
                Err(error) => {
                    self.targets.pop();
                    warn!(%error, namespace = %controller.namespace, pod = %controller.pod, "Cannot attach to a pod");
                    let told = self.node.as_mut().and_then(|node| node.failed(&controller, &error));
                    if let Some(order) = told {
                        decoder.channel.send(&order, &[])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks after the pods of the node.
    pub(super) fn look_at_pods(&mut self, decoder: &Decoder) -> Result<(), RunError> {
        let Some(node) = &mut self.node else { return Ok(()) };
        node.restart(&self.config, &decoder.channel)?;
        let attached: BTreeSet<&str> = self
            .targets
            .iter()
            .filter_map(|watched| match &watched.sought {
                Sought::Pod(controller) => Some(controller.uid.as_str()),
                Sought::Target(_) => None,
            })
            .collect();
        for order in node.missing(&attached) {
            decoder.channel.send(&order, &[])?;
        }
        let found = node.look(&attached);
        self.attach_pods(decoder, found)
    }
}
