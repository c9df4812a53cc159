# What every page presumes: a mirror file with local sources, a key pair, a trust file, a credentials file.
mkdir -p layout/blobs/sha256 hello/templates
put() { # CONTENT TYPE: prints a descriptor
  local digest
  digest=$(printf %s "$1" | sha256sum | cut -d' ' -f1)
  printf %s "$1" >"layout/blobs/sha256/$digest"
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$2" "$digest" "${#1}"
}
kind=application/vnd.oci.image
config=$(put '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' $kind.config.v1+json)
image=$(put '{"schemaVersion":2,"mediaType":"'$kind.manifest.v1+json'","config":'"$config"',"layers":[]}' $kind.manifest.v1+json)
printf '{"schemaVersion":2,"manifests":[%s]}' "$image" >layout/index.json
printf '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout

printf 'apiVersion: v2\nname: hello\nversion: 0.1.0\n' >hello/Chart.yaml
printf 'replicas: 1\n' >hello/values.yaml
cat >hello/templates/deployment.yaml <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec: {containers: [{name: hello, image: "registry.example/team/app:v1"}]}
END
tar -czf hello-0.1.0.tgz hello
printf test >notice.txt

cat >airlock.yaml <<'END'
apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata: {name: site-a}
sources:
  - ociLayout: {path: layout, reference: "registry.example/team/app:v1"}
  - ociLayout: {path: layout, reference: "public.ecr.aws/a/b:v1"}
  - charts: [{file: hello-0.1.0.tgz, images: false}]
  - files: [{path: notice.txt}]
END
printf 'ann:a password of hers\n' >credentials
