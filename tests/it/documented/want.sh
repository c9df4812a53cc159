airlock mirror --store store
airlock serve --store store
curl -s -o missing.json 'http://127.0.0.1:5000/v2/team/app/manifests/v9?ns=quay.io'
for _ in $(seq 100); do
  ! airlock want list --store store | grep -q quay.io || break
  sleep 0.1
done
