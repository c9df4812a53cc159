airlock trust check "$YAML/1.yaml"
# The registry of the page's images.
airlock serve --create --store registry --listen 127.0.0.1:443 --self-signed --tls-name registry.example
cp registry/tls/ca.crt .
echo "export SSL_CERT_FILE=$PWD/ca.crt" >>"$BASH_ENV"
SSL_CERT_FILE=$PWD/ca.crt
for blob in layout/blobs/sha256/*; do
  digest=sha256:${blob##*/}
  case $(cat "$blob") in
    *'"schemaVersion"'*) manifest=$blob ;;
    *) curl -sSf --cacert ca.crt -X POST -H 'content-type: application/octet-stream' --data-binary "@$blob" \
      "https://registry.example/v2/team/app/blobs/uploads/?digest=$digest" ;;
  esac
done
curl -sSf --cacert ca.crt -X PUT -H 'content-type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$manifest" \
  https://registry.example/v2/team/app/manifests/v1

sed -i '/charts:\|files:/d' airlock.yaml
airlock mirror --store store
airlock keys generate cosign
printf '{"spdxVersion": "SPDX-2.3"}' >sbom.json
before 'tar -xf' <<'END'
# The tasks of the table are no sequence: the key is good again.
airlock keys generate security
rm trust.yaml*
airlock keys trust release.pub security.pub --sign signature,driveManifest,spdxjson,packageBundle --to trust.yaml
airlock pack --store store --to /media/usb --key release.key
END
before 'airlock sign bundle' <<'END'
printf '%s\n' 'apiVersion: airlock.dev/v1alpha1' 'kind: BundleConfig' 'metadata: {name: v1-35-7}' \
  'packages: [{name: hello, charts: ["charts/hello:0.1.0"]}]' >packages.yaml
printf '  - charts: [{file: hello-0.1.0.tgz, images: false}]\n' >>airlock.yaml
airlock mirror --store store
airlock bundle create -f packages.yaml --store store --key security.key --to bundle.yaml
END
