airlock mirror --store store
cat >registry.yaml <<'END'
apiVersion: airlock.dev/v1alpha1
kind: RegistryConfig
store: store
END
cat "$YAML/1.yaml" >>registry.yaml
