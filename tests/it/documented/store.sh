airlock mirror --store store
airlock keys generate release
airlock keys trust release.pub --log store/log/key.pub --to trust.yaml
airlock pack --store store --to /media/usb --key release.key
