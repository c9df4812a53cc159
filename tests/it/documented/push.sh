# A registry with the gate `push`, in the background beside the one that the page starts.
airlock keys generate release
airlock keys trust release.pub --to gate.yaml
printf 'gates: {push: {require: [{sign: signature, by: release}]}}\n' >>gate.yaml
"$AIRLOCK" serve --create --store gate --listen 127.0.0.1:443 --self-signed --tls-name registry.example \
  --trust gate.yaml --registry-name registry.example >"$FOLDER/gate.out" 2>&1 </dev/null &
for _ in $(seq 600); do
  ! (exec 3<>/dev/tcp/127.0.0.1/443) 2>/dev/null || break
  sleep 0.1
done
printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' "$FOLDER/run" "$FOLDER/images" >"$FOLDER/storage.conf"
cat >>"$BASH_ENV" <<END
export SSL_CERT_FILE=$PWD/gate/tls/ca.crt CONTAINERS_STORAGE_CONF=$FOLDER/storage.conf COSIGN_YES=true
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
before 'podman push' <<'END'
there registry.example/team/app:v1
podman import --quiet root.tar team/app:v1
END
before 'docker-archive' <<'END'
there registry.example/team/app:v2
podman save --quiet --format docker-archive --output app.tar team/app:v1
END
before 'helm push' <<'END'
there registry.example/team/app:v3
END
before 'cosign sign --key release.key --tlog-upload=false' <<'END'
there registry.example/charts/hello:0.1.0
refused oci:layout registry.example/team/two:v1
END
before '--new-bundle-format=false' <<'END'
there registry.example/team/two:v1
refused oci:layout registry.example/team/three:v1
END
