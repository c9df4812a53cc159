airlock mirror --store store
airlock keys generate release
airlock pack --store store --to /media/usb --key release.key
cp /media/usb/*.tar .
rm -r layout
