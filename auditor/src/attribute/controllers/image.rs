//! Names of images, whatever registry they come from.

/// The path of an image without registry, tag and digest, last element first.
/// (<https://github.com/distribution/reference/blob/main/reference.go>: `[domain '/'] path [':' tag] ['@' digest]`.)
fn elements(image: &str) -> impl Iterator<Item = &str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash belongs to the registry's port.
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name.get(start..).and_then(|last| last.find(':')).map_or(name.len(), |colon| start + colon);
    name.get(..end).unwrap_or(name).rsplit('/')
}

/// Whether the image's path ends with `suffix`, element by element. An element of the suffix that ends with `*` stands for
/// all that begin so.
pub(super) fn is(image: &str, suffix: &str) -> bool {
    let mut elements = elements(image);
    suffix.rsplit('/').all(|wanted| {
        elements.next().is_some_and(|element| match wanted.strip_suffix('*') {
            Some(start) => element.starts_with(start),
            None => element == wanted,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, suffix: &str, expected: bool) {
        assert_eq!(is(image, suffix), expected, "{image} {suffix}");
    }

    #[test]
    fn images_of_any_registry() {
        check("registry.k8s.io/ingress-nginx/controller:v1.11@sha256:00", "ingress-nginx/controller", true);
        check("mirror:5000/a/ingress-nginx/controller", "ingress-nginx/controller", true);
        check("ingress-nginx/controller-chroot:v1", "ingress-nginx/controller*", true);
        check("mirror:5000/a/my-ingress-nginx/controller", "ingress-nginx/controller", false);
        check("traefik", "traefik", true);
        check("traefik:v3", "traefik", true);
        check("localhost:5000/traefik", "traefik", true);
        check("traefik/whoami", "traefik", false);
        check("", "traefik", false);
        check("@:/:@", "traefik", false);
    }
}
