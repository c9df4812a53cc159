airlock mirror --store store
airlock keys generate release
printf '%s\n' 'ann:$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe' >users
printf 'ann:open sesame\n' >credentials
openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt -days 2 -subj /CN=localhost \
  -addext subjectAltName=IP:127.0.0.1
cat >policy.yaml <<END
apiVersion: airlock.dev/v1alpha1
kind: TrustPolicy
metadata: {name: release}
spec:
  mode: enforce
  trust: {sequence: 1, keys: [{name: release, publicKey: "$(sed 's/$/\\n/' release.pub | tr -d '\n')"}]}
END
# The registry is served as the page about it says, with passwords.
sh -c "$(grep -m1 '^airlock serve .*--htpasswd' "$DOCS/serve.md")"
before '--bundle-key release.pub' <<'END'
# An API server that answers until something is applied: by then the registry has taken the image, with the password.
mkdir api
cd api
answer() { # PATH JSON
  mkdir -p "$(dirname "$1")"
  printf 'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' ${#2} "$2" >"$1"
}
answer version '{"major":"1","minor":"35","gitVersion":"v1.35.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}'
for kind in admissionregistration.k8s.io/v1/validatingwebhookconfigurations \
  admissionregistration.k8s.io/v1/mutatingwebhookconfigurations airlock.dev/v1alpha1/trustpolicies; do
  answer "apis/$kind?" '{"kind":"List","apiVersion":"v1","metadata":{},"items":[]}'
done
answer api/v1/namespaces/eksa-packages '{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"eksa-packages"}}'
openssl s_server -quiet -HTTP -accept 127.0.0.1:6443 -cert ../server.crt -key ../server.key </dev/null >/dev/null 2>&1 &
cd ..
echo $! >api.pid
sed 's|http://127.0.0.1:1"|https://127.0.0.1:6443", insecure-skip-tls-verify: true|' "$KUBECONFIG" >api.kubeconfig
install=$(grep -h -m1 -- '--bundle-key release.pub' "$FOLDER"/blocks/*.cluster)
for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/6443) 2>/dev/null && break || sleep 0.1; done
KUBECONFIG=api.kubeconfig bash -c "exec $install" >installed 2>&1 &
for _ in $(seq 300); do
  ! grep -q '^image .* created' installed && kill -0 $! || break
  sleep 0.1
done
kill $! $(cat api.pid) || true
cat installed
grep -q 'image registry.site:5000/airlock/airlock@sha256:.* created' installed
END
