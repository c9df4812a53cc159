airlock mirror --store store
printf 'replicas: 3\n' >values.yaml
mkdir shop
printf '%s\n' 'apiVersion: v2' 'name: shop' 'version: 1.0.0' 'dependencies: [{name: hello, version: 0.1.0, repository: "https://charts.example"}]' >shop/Chart.yaml
