//! Compares the objects of a manifest with the cluster, through the API server.

use serde_json::Value;

use crate::rig::Cluster;

impl Cluster {
    /// Checks that all objects of a manifest exist as written; the error is the output of `kubectl diff`.
    pub(crate) fn matches_manifest(&self, manifest: &str, namespace: &str) -> Result<(), String> {
        let mut objects = gostd::yaml::documents(manifest, &gostd::Limits::default()).unwrap();
        // Kubernetes itself sets the rules of aggregated roles.
        for role in objects.iter_mut().filter(|object| object.get("aggregationRule").is_some()) {
            role.as_object_mut().unwrap().remove("rules");
        }
        let objects: Vec<_> = objects.iter().map(gostd::yaml::write).collect();
        let words = ["diff", "--server-side", "--force-conflicts", "--field-manager", "judge"];
        let (same, said) = self.kubectl_for(&words, &objects.join("---\n"), namespace);
        if same { Ok(()) } else { Err(said) }
    }

    /// The objects of a manifest as they are in the cluster.
    pub(crate) fn live(&self, manifest: &str, namespace: &str) -> Vec<Value> {
        let (good, said) =
            self.kubectl_for(&["get", "-o", "json", "--show-managed-fields"], manifest, namespace);
        assert!(good, "{said}");
        let found: Value = serde_json::from_str(&said).unwrap();
        found.get("items").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![found])
    }

    /// Runs kubectl for the objects of a manifest; returns whether it succeeded, and its output.
    fn kubectl_for(&self, words: &[&str], manifest: &str, namespace: &str) -> (bool, String) {
        let (file, config) =
            (self.path(&format!("{namespace}.yaml")), self.path(&format!("{namespace}.config")));
        std::fs::write(&file, manifest).unwrap();
        // With `--namespace`, kubectl rejects objects of other namespaces.
        let own = std::fs::read_to_string(self.kubeconfig()).unwrap();
        let there = own.replace("context: {", &format!("context: {{namespace: {namespace}, "));
        assert_ne!(there, own);
        std::fs::write(&config, there).unwrap();
        let mut command = self.command("kubectl");
        let output = command.env("KUBECONFIG", &config).args(words).arg("-f").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }
}
