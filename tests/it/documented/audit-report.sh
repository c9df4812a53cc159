airlock mirror --store store
cp store/log/key.pub site.pub
# A push of a blob `test`, whose digest the page names.
airlock serve --store store
curl -sf -X POST -H 'content-type: application/octet-stream' --data-binary @notice.txt \
  "http://127.0.0.1:5000/v2/files/blobs/uploads/?digest=sha256:$(sha256sum notice.txt | cut -d' ' -f1)"
