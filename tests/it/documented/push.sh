# A registry with the gate `push`, in the background beside the one that the page starts.
airlock keys generate release
airlock keys trust release.pub --to gate.yaml
printf 'gates: {push: {require: [{sign: signature, by: release}]}}\n' >>gate.yaml
"$AIRLOCK" serve --create --store gate --listen 127.0.0.1:443 --self-signed --tls-name registry.example \
  --trust gate.yaml --registry-name registry.example >"$FOLDER/gate.out" 2>&1 </dev/null &
# One with an inbox, as the page configures it, but on an address without a certificate from elsewhere.
echo '127.0.0.2 inbox.example' >>"$FOLDER/hosts"
sed 's|0.0.0.0:443|127.0.0.2:443|; s|{cert.*key}|{selfSigned: true, names: [inbox.example]}|; /^access:/d' "$YAML/1.yaml" >inbox.yaml
"$AIRLOCK" serve --create --file inbox.yaml >"$FOLDER/inbox.out" 2>&1 </dev/null &
for _ in $(seq 600); do
  ! (exec 3<>/dev/tcp/127.0.0.2/443) 2>/dev/null || break
  sleep 0.1
done
for _ in $(seq 600); do
  ! (exec 3<>/dev/tcp/127.0.0.1/443) 2>/dev/null || break
  sleep 0.1
done
printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' "$FOLDER/run" "$FOLDER/images" >"$FOLDER/storage.conf"
cat gate/tls/ca.crt inbox/tls/ca.crt >ca.crt
cat >>"$BASH_ENV" <<END
export SSL_CERT_FILE=$PWD/ca.crt CONTAINERS_STORAGE_CONF=$FOLDER/storage.conf COSIGN_YES=true
refused() { ! skopeo copy --preserve-digests "\$1" "docker://\$2" >refused.txt 2>&1 && grep -q 'gate .push. refuses' refused.txt; }
there() { skopeo inspect --raw "docker://\$1" >/dev/null; }
END
. "$BASH_ENV"
mkdir root
printf 'hello\n' >root/hello
tar -C root -cf root.tar hello
before 'oci:layout docker://registry.example/team/app@' <<'END'
refused oci:layout registry.example/team/app:v1
END
before 'podman push team/app:v1 oci:' <<'END'
there registry.example/team/app:v1
podman import --quiet root.tar team/app:v1
END
before 'docker-archive' <<'END'
there registry.example/team/app:v2
podman save --quiet --format docker-archive --output app.tar team/app:v1
END
before 'helm push hello-0.1.0.tgz oci://127.0.0.1' <<'END'
there registry.example/team/app:v3
END
before 'registry.example/team/two@' <<'END'
there registry.example/charts/hello:0.1.0
refused oci:layout registry.example/team/two:v1
END
before 'registry.example/team/three@' <<'END'
there registry.example/team/two:v1
refused oci:layout registry.example/team/three:v1
END
before 'helm push hello-0.1.0.tgz oci://inbox.example' <<'END'
there inbox.example/team/app:v1
END
before 'inbox.example/charts/hello@' <<'END'
! there inbox.example/charts/hello:0.1.0
END
before 'airlock inbox list' <<'END'
there inbox.example/charts/hello:0.1.0
for name in late never; do
  skopeo copy --preserve-digests oci:layout docker://inbox.example/team/$name:v1
done
airlock sign team/late@$(skopeo inspect --format '{{.Digest}}' oci:layout) --store inbox --name inbox.example/team/late --key release.key
END
