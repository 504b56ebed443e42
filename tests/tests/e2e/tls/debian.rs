//! nginx of other Debian releases, each in a root of its own: other versions of OpenSSL, of nginx and of the C library.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::debian::Root;
use harness::server::nginx::{Config, Nginx};

use super::nginx::listen;
use super::{Http, Tls};

/// Both versions of TLS with both of HTTP, with a library whose version begins as given.
fn check(suite: &str, openssl: &str, packages: &[&str]) -> Result<()> {
    let packages = [packages, &["libc6", "zlib1g", "libcrypt1"]].concat();
    let Some(root) = Root::unpack(suite, &packages) else { return Ok(()) };
    let version = root.run(&["/usr/sbin/nginx", "-V"])?;
    ensure!(version.contains(&format!("OpenSSL {openssl}")), "another version: {version}");
    for tls in [Tls::V12, Tls::V13] {
        for http in [Http::V1, Http::V2] {
            super::check(
                crate::nginx::bed(),
                |bed, identity, tls| {
                    let inside = root.path();
                    fs::copy(identity.certificate(), inside.join("certificate.pem"))?;
                    fs::copy(identity.key(), inside.join("key.pem"))?;
                    let how = listen(Path::new("/certificate.pem"), Path::new("/key.pem"), tls);
                    let start = |config: &Config<'_>| Nginx::start_in(&inside, &bed.cgroup, config);
                    let server = crate::nginx::start_with(bed, &[(bed.server(), &how)], start)?;
                    Ok(move || server.stop())
                },
                (tls, http),
            )?;
        }
    }
    Ok(())
}

#[test]
fn openssl_1_1_1() -> Result<()> {
    check("bullseye", "1.1.1", &["nginx-core", "libssl1.1", "libpcre3"])
}

#[test]
fn openssl_3_5() -> Result<()> {
    check("trixie", "3.5", &["nginx", "libssl3t64", "libpcre2-8-0", "libzstd1"])
}

#[test]
fn openssl_3_6() -> Result<()> {
    check("sid", "3.6", &["nginx", "libssl3t64", "libpcre2-8-0", "libzstd1"])
}
