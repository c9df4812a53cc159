airlock mirror --store store
printf '%s\n' 'alice:$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe' >users
openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt -days 2 -subj /CN=registry.site \
  -addext subjectAltName=DNS:registry.site
airlock keys generate release
airlock keys trust release.pub --to trust.yaml
cp "$YAML/1.yaml" registry.yaml
