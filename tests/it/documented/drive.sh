airlock mirror --store store
before 'airlock quarantine list' <<'END'
# Of two drives the newer one comes first.
for drive in first second; do airlock pack --store store --to $drive --key release.key; done
airlock import second --trust trust.yaml --store store
airlock import first --trust trust.yaml --store store && exit 1 || [ $? -eq 7 ]
END
before 'airlock quarantine begin-anew' <<'END'
rm -r store/witness
END
