# The whole mirror file of the page is one, though what it names is not here.
! airlock mirror -f "$YAML/1.yaml" --store other --dry-run >said 2>&1
cat said
! grep -q 'is not a mirror file' said || exit 1
