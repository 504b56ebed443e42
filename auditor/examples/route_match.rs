//! Measures how long one decision takes with 10,000 Ingresses and 50,000 paths: `cargo run --release --example route_match`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use auditor::attribute::manifests::parse;
use auditor::attribute::objects::Objects;
use auditor::attribute::routes::{Matched, Options, Request, RequestPath, Routes};

const INGRESSES: usize = 10_000;
const PATHS: usize = 5;
const ROUNDS: usize = 20;

fn main() -> anyhow::Result<()> {
    // Every host its own, and then all paths on one host: wide in one way, and in the other.
    for (name, host) in [("10,000 hosts", false), ("one host", true)] {
        let started = Instant::now();
        let objects = objects(host)?;
        let read = started.elapsed();
        let started = Instant::now();
        let routes = Routes::new(&objects, &Options::default());
        let built = started.elapsed();
        let requests: Vec<(String, String)> = (0..INGRESSES)
            .map(|number| number * 7_919 % INGRESSES)
            .map(|number| {
                (
                    format!("Host{}.example.com:8443", if host { 0 } else { number }),
                    format!("/app{number}/part{}/x/y?q=1", number % PATHS),
                )
            })
            .collect();
        let mut matched = 0;
        let mut rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                for (host, path) in &requests {
                    let path = RequestPath::new(black_box(path.as_bytes()));
                    let decision = routes.decide(&Request::get(Some(black_box(host.as_bytes())), &path));
                    matched += usize::from(decision.matched == Matched::Rule);
                }
                started.elapsed().as_nanos() / INGRESSES as u128
            })
            .collect();
        rounds.sort_unstable();
        // The least shows the work, the median what other programs on the machine add to it.
        let least = rounds.first().copied().unwrap_or_default();
        let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
        anyhow::ensure!(matched == ROUNDS * INGRESSES, "every request has a rule");
        println!(
            "{name}: a decision takes {least} ns (median {median} ns); read in {read:?}, built in {built:?}"
        );
    }
    Ok(())
}

fn objects(one_host: bool) -> anyhow::Result<Objects> {
    let mut yaml = String::new();
    for number in 0..INGRESSES {
        let host = if one_host { 0 } else { number };
        write!(
            yaml,
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i{number}}}\nspec: {{rules: [{{host: host{host}.example.com, http: {{paths: ["
        )?;
        for part in 0..PATHS {
            write!(
                yaml,
                "{{path: /app{number}/part{part}, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}, "
            )?;
        }
        writeln!(yaml, "]}}}}]}}")?;
    }
    Ok(parse(Path::new("many.yaml"), yaml.as_bytes())?)
}
