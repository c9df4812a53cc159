airlock mirror --store store
airlock keys generate release
for _ in $(seq 20); do airlock store check --store store; done
airlock keys trust release.pub --log store/log/key.pub
cp store/log/key.pub site.pub
airlock audit checkpoint --store store >kept.txt
printf 'log %s\nquorum none\n' "$(cat store/log/key.pub)" >policy.txt
# A cluster that does not answer: what was tried is in the operator's own log.
airlock uninstall controller && exit 1 || [ $? -eq 6 ]
# A push of a blob `test`.
airlock serve --store store
curl -sf -X POST -H 'content-type: application/octet-stream' --data-binary @notice.txt \
  "http://127.0.0.1:5000/v2/files/blobs/uploads/?digest=sha256:$(sha256sum notice.txt | cut -d' ' -f1)"
