airlock mirror --store store
airlock serve --store store --listen 127.0.0.1:5000 --self-signed --tls-name registry.site
cp credentials puller.txt
