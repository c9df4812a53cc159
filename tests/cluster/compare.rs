//! What a cluster has of a manifest's objects, told by the API server itself.

use serde_json::Value;

use crate::rig::Cluster;

impl Cluster {
    /// What kubectl finds different from a manifest; nothing, when all of it is there as written.
    pub(crate) fn is_as(&self, manifest: &str, namespace: &str) -> Result<(), String> {
        let mut objects = gostd::yaml::documents(manifest, &gostd::Limits::default()).unwrap();
        // Kubernetes itself fills in the rules of roles that are the sum of others.
        for role in objects.iter_mut().filter(|object| object.get("aggregationRule").is_some()) {
            role.as_object_mut().unwrap().remove("rules");
        }
        let objects: Vec<_> = objects.iter().map(gostd::yaml::write).collect();
        let words = ["diff", "--server-side", "--force-conflicts", "--field-manager", "judge"];
        let (same, said) = self.about(&words, &objects.join("---\n"), namespace);
        if same { Ok(()) } else { Err(said) }
    }

    /// A manifest's objects as the cluster has them.
    pub(crate) fn live(&self, manifest: &str, namespace: &str) -> Vec<Value> {
        let (good, said) = self.about(&["get", "-o", "json", "--show-managed-fields"], manifest, namespace);
        assert!(good, "{said}");
        let found: Value = serde_json::from_str(&said).unwrap();
        found.get("items").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![found])
    }

    /// kubectl about the objects of a manifest: whether it succeeded, and all that it printed.
    fn about(&self, words: &[&str], manifest: &str, namespace: &str) -> (bool, String) {
        let (file, config) =
            (self.path(&format!("{namespace}.yaml")), self.path(&format!("{namespace}.config")));
        std::fs::write(&file, manifest).unwrap();
        // With a namespace as an argument, kubectl refuses objects of another.
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
