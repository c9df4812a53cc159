before 'airlock verify' <<'END'
airlock keys trust release.pub --log store/log/key.pub
END
