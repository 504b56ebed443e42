//! How kinds of custom resources are declared: own types, pruned to what routing reads.
//!
//! The crates that carry the whole of these kinds (`gateway-api`, `traefik-crds`) bring `kube` with its client, schemas of
//! every field and a release for each version; of their hundreds of fields routing reads a tenth. What is left out here is
//! skipped by the parser and never kept. What an object may say only in certain words (a match type, a filter) is text, so
//! that a word of a later version makes one rule uncertain and not the whole object unreadable.
//!
//! Each kind is a `k8s_openapi::Resource` with metadata, which is all that `kube` asks of a type to watch it.

/// Declares kinds: `Name("Kind", "plural", namespaced or cluster) { spec }`, of a group and its preferred version.
macro_rules! kinds {
    (
        $group:literal, $version:literal;
        $( $(#[$doc:meta])* $name:ident ( $kind:literal, $plural:literal, $scope:ident ) { $field:ident : $spec:ty } )*
    ) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, serde::Deserialize)]
            pub struct $name {
                /// Its name, labels and so on.
                #[serde(default)]
                pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
                /// What is wanted.
                #[serde(default)]
                pub $field: $spec,
            }

            impl k8s_openapi::Resource for $name {
                const API_VERSION: &'static str = concat!($group, "/", $version);
                const GROUP: &'static str = $group;
                const KIND: &'static str = $kind;
                const VERSION: &'static str = $version;
                const URL_PATH_SEGMENT: &'static str = $plural;
                type Scope = $crate::attribute::objects::custom::$scope;
            }

            impl k8s_openapi::Metadata for $name {
                type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

                fn metadata(&self) -> &Self::Ty {
                    &self.metadata
                }

                fn metadata_mut(&mut self) -> &mut Self::Ty {
                    &mut self.metadata
                }
            }
        )*
    };
}

pub(super) use kinds;

/// Of a kind whose objects lie in namespaces.
pub type Namespaced = k8s_openapi::NamespaceResourceScope;
/// Of a kind whose objects do not.
pub type Cluster = k8s_openapi::ClusterResourceScope;

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use k8s_openapi::{Metadata, Resource};
    use serde::de::DeserializeOwned;

    use crate::attribute::objects::contour::HttpProxy;
    use crate::attribute::objects::gateway::{
        Gateway, GatewayClass, GrpcRoute, HttpRoute, ReferenceGrant, TlsRoute,
    };
    use crate::attribute::objects::traefik::IngressRoute;

    /// The path of a kind at the API server; that it can be asked for says that it can be watched.
    fn path<K>() -> String
    where
        K: Resource + Metadata<Ty = ObjectMeta> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        format!("{} {} {}", K::API_VERSION, K::KIND, K::URL_PATH_SEGMENT)
    }

    #[test]
    fn every_kind_can_be_watched() {
        let group = "gateway.networking.k8s.io/v1";
        assert_eq!(path::<GatewayClass>(), format!("{group} GatewayClass gatewayclasses"));
        assert_eq!(path::<Gateway>(), format!("{group} Gateway gateways"));
        assert_eq!(path::<HttpRoute>(), format!("{group} HTTPRoute httproutes"));
        assert_eq!(path::<GrpcRoute>(), format!("{group} GRPCRoute grpcroutes"));
        assert_eq!(path::<TlsRoute>(), format!("{group} TLSRoute tlsroutes"));
        assert_eq!(path::<ReferenceGrant>(), format!("{group} ReferenceGrant referencegrants"));
        assert_eq!(path::<IngressRoute>(), "traefik.io/v1alpha1 IngressRoute ingressroutes");
        assert_eq!(path::<HttpProxy>(), "projectcontour.io/v1 HTTPProxy httpproxies");
    }
}
