cp "$YAML/1.yaml" packages.yaml
for chart in metallb-0.15.2 metallb-crds-0.15.2; do
  mkdir "$chart"
  cp -r hello/values.yaml hello/templates "$chart"
  printf 'apiVersion: v2\nname: %s\nversion: 0.15.2\n' "${chart%-*}" >"$chart/Chart.yaml"
  tar -czf "$chart.tgz" "$chart"
  printf '  - charts: [{file: %s.tgz, images: false}]\n' "$chart" >>airlock.yaml
done
printf 'replicas: 2\n' >site.yaml
printf '{"type": "object"}' >schema.json
airlock mirror --store store
airlock keys generate release
before 'airlock list packages' <<'END'
airlock generate package metallb --cluster mgmt --bundle bundle.yaml >metallb.yaml
END
