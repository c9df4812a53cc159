//! The Go types of the manifests: `api/v1alpha1` of aws/eks-anywhere-packages, `release/api/v1alpha1` of
//! aws/eks-anywhere and of aws/eks-distro-build-tooling, and `ObjectMeta` of k8s.io/apimachinery.

use super::shape::{Field, Omit, Shape};

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, omit: Omit::Never }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, omit: Omit::Empty }
}

const fn pointer(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, omit: Omit::Absent }
}

const OWNER: Shape = Shape::Record(&[
    required("apiVersion", Shape::Text),
    required("kind", Shape::Text),
    required("name", Shape::Text),
    required("uid", Shape::Text),
    pointer("controller", Shape::Flag),
    pointer("blockOwnerDeletion", Shape::Flag),
]);

pub(super) const METADATA: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("generateName", Shape::Text),
    optional("namespace", Shape::Text),
    optional("selfLink", Shape::Text),
    optional("uid", Shape::Text),
    optional("resourceVersion", Shape::Text),
    optional("generation", Shape::Integer),
    optional("creationTimestamp", Shape::Time),
    pointer("deletionTimestamp", Shape::Time),
    pointer("deletionGracePeriodSeconds", Shape::Integer),
    optional("labels", Shape::Texts),
    optional("annotations", Shape::Texts),
    optional("ownerReferences", Shape::List(&OWNER)),
    optional("finalizers", Shape::List(&Shape::Text)),
    optional("managedFields", Shape::List(&Shape::Any)),
]);

const PACKAGE_IMAGE: Shape =
    Shape::Record(&[required("repository", Shape::Text), required("digest", Shape::Text)]);

const VERSION: Shape = Shape::Record(&[
    required("name", Shape::Text),
    required("digest", Shape::Text),
    optional("images", Shape::List(&PACKAGE_IMAGE)),
    optional("schema", Shape::Text),
    optional("dependencies", Shape::List(&Shape::Text)),
]);

const SOURCE: Shape = Shape::Record(&[
    optional("registry", Shape::Text),
    required("repository", Shape::Text),
    required("versions", Shape::List(&VERSION)),
]);

const PACKAGE: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    required("source", SOURCE),
    optional("workloadonly", Shape::Flag),
]);

const PACKAGE_BUNDLE_SPEC: Shape = Shape::Record(&[
    required("packages", Shape::List(&PACKAGE)),
    required("minControllerVersion", Shape::Text),
]);

const PACKAGE_BUNDLE_STATUS: Shape =
    Shape::Record(&[optional("spec", PACKAGE_BUNDLE_SPEC), required("state", Shape::Text)]);

/// `PackageBundle` of packages.eks.amazonaws.com.
pub(super) const PACKAGE_BUNDLE: &[Field] = &[
    optional("apiVersion", Shape::Text),
    optional("kind", Shape::Text),
    optional("metadata", METADATA),
    optional("spec", PACKAGE_BUNDLE_SPEC),
    optional("status", PACKAGE_BUNDLE_STATUS),
];

const IMAGE: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("description", Shape::Text),
    optional("os", Shape::Text),
    optional("osName", Shape::Text),
    optional("arch", Shape::List(&Shape::Text)),
    optional("uri", Shape::Text),
    optional("imageDigest", Shape::Text),
]);

const ARCHIVE: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("description", Shape::Text),
    optional("os", Shape::Text),
    optional("osName", Shape::Text),
    optional("arch", Shape::List(&Shape::Text)),
    optional("uri", Shape::Text),
    optional("sha512", Shape::Text),
    optional("sha256", Shape::Text),
]);

const MANIFEST: Shape = Shape::Record(&[optional("uri", Shape::Text)]);

const OS_IMAGES: Shape = Shape::Record(&[optional("bottlerocket", ARCHIVE)]);

const EKS_D: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("channel", Shape::Text),
    optional("kubeVersion", Shape::Text),
    optional("manifestUrl", Shape::Text),
    optional("gitCommit", Shape::Text),
    optional("kindNode", IMAGE),
    optional("ami", OS_IMAGES),
    optional("ova", OS_IMAGES),
    optional("raw", OS_IMAGES),
    optional("components", Shape::Text),
    optional("etcdadm", ARCHIVE),
    optional("crictl", ARCHIVE),
    optional("imagebuilder", ARCHIVE),
    optional("containerd", ARCHIVE),
]);

const AWS: Shape = Shape::Record(&[
    required("version", Shape::Text),
    required("controller", IMAGE),
    required("kubeProxy", IMAGE),
    required("components", MANIFEST),
    required("clusterTemplate", MANIFEST),
    required("metadata", MANIFEST),
]);

/// Members that the signature leaves out as a whole are not checked.
const VERSIONS_BUNDLE: Shape = Shape::Record(&[
    required("kubeVersion", Shape::Text),
    optional("endOfStandardSupport", Shape::Text),
    required("eksD", EKS_D),
    optional("certManager", Shape::Any),
    optional("clusterAPI", Shape::Any),
    optional("bootstrap", Shape::Any),
    optional("controlPlane", Shape::Any),
    optional("vSphere", Shape::Any),
    optional("cloudStack", Shape::Any),
    optional("docker", Shape::Any),
    optional("eksa", Shape::Any),
    optional("cilium", Shape::Any),
    optional("kindnetd", Shape::Any),
    optional("flux", Shape::Any),
    optional("packageController", Shape::Any),
    optional("bottlerocketHostContainers", Shape::Any),
    optional("bottlerocketBootstrapContainers", Shape::Any),
    optional("etcdadmBootstrap", Shape::Any),
    optional("etcdadmController", Shape::Any),
    optional("tinkerbell", Shape::Any),
    optional("haproxy", Shape::Any),
    optional("snow", Shape::Any),
    optional("nutanix", Shape::Any),
    optional("upgrader", Shape::Any),
    pointer("aws", AWS),
]);

const BUNDLES_SPEC: Shape = Shape::Record(&[
    required("number", Shape::Integer),
    required("cliMinVersion", Shape::Text),
    required("cliMaxVersion", Shape::Text),
    required("versionsBundles", Shape::List(&VERSIONS_BUNDLE)),
]);

/// `Bundles` of anywhere.eks.amazonaws.com.
pub(super) const BUNDLES: &[Field] = &[
    optional("apiVersion", Shape::Text),
    optional("kind", Shape::Text),
    optional("metadata", METADATA),
    optional("spec", BUNDLES_SPEC),
    optional("status", Shape::Any),
];

const RELEASE_SPEC: Shape = Shape::Record(&[
    optional("channel", Shape::Text),
    optional("number", Shape::Integer),
    optional("buildRepoCommit", Shape::Text),
]);

const ASSET: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("type", Shape::Text),
    optional("description", Shape::Text),
    optional("os", Shape::Text),
    optional("arch", Shape::List(&Shape::Text)),
    pointer("image", Shape::Record(&[optional("uri", Shape::Text), optional("imageDigest", Shape::Text)])),
    pointer(
        "archive",
        Shape::Record(&[
            optional("uri", Shape::Text),
            optional("sha512", Shape::Text),
            optional("sha256", Shape::Text),
        ]),
    ),
]);

const COMPONENT: Shape = Shape::Record(&[
    optional("name", Shape::Text),
    optional("gitCommit", Shape::Text),
    optional("gitTag", Shape::Text),
    optional("assets", Shape::List(&ASSET)),
]);

const RELEASE_STATUS: Shape =
    Shape::Record(&[optional("date", Shape::Text), optional("components", Shape::List(&COMPONENT))]);

/// `Release` of distro.eks.amazonaws.com.
pub(super) const RELEASE: &[Field] = &[
    optional("apiVersion", Shape::Text),
    optional("kind", Shape::Text),
    optional("metadata", METADATA),
    optional("spec", RELEASE_SPEC),
    optional("status", RELEASE_STATUS),
];
