#!/bin/sh
# Verifies a release with stock tools: cosign (2.6.5 or newer) and sha256sum.
#
#   scripts/verify.sh -k KEY [-d DIR] [FILE]...
#   scripts/verify.sh -i SUBJECT -o ISSUER -r TRUSTED_ROOT [-d DIR] [FILE]...
#
#   -k KEY           the publisher's public key, that you had from elsewhere than the release
#   -i SUBJECT       or the identity that signed, exactly, and
#   -o ISSUER        who vouches for it, and
#   -r TRUSTED_ROOT  the authorities and logs that are believed
#   -d DIR           where the release lies; dist if not given
#   FILE             artifacts to verify, by name; all that release.json names if not given
#
# An artifact is an archive, or the file of a container image (.oci.tar). Of each it
# verifies the digest that the signed release.json names, the signature, and the
# signatures, types and subjects of the bill of materials and the provenance. What these say is not judged here: who built it, from which patches,
# and whether the archive holds what they list. Nor are the documents looked at that
# lie beside the bundles unsigned, test results, what rebuilders attest (.rebuilds),
# bin, what registries carry with an image (.oci.d, of which it says so), and files
# that release.json does not name. "mage verify" does all that.
#
# What passes is what was there when it was read: verify a copy that nobody else
# can write to.
#
# Needs no network. Exit status: 0 verified; 1 refused; 2 wrong usage, or there is
# no cosign or sha256sum.
set -eu
LC_ALL=C
COSIGN_MAX_ATTACHMENT_SIZE=4GB # by itself cosign reads no file above 128 MiB
export LC_ALL COSIGN_MAX_ATTACHMENT_SIZE

usage() {
  echo "usage: verify.sh -k KEY | -i SUBJECT -o ISSUER -r TRUSTED_ROOT [-d DIR] [FILE]..." >&2
  exit 2
}

refuse() {
  printf 'REFUSED  %s\n' "$*" >&2
  exit 1
}

# absolute prints a file's name so that it is found from another folder.
absolute() {
  case $1 in
  /*) printf '%s\n' "$1" ;;
  *) printf '%s\n' "$PWD/$1" ;;
  esac
}

key='' subject='' issuer='' root='' dir=dist
while getopts k:i:o:r:d: option; do
  case $option in
  k) key=$(absolute "$OPTARG") ;;
  i) subject=$OPTARG ;;
  o) issuer=$OPTARG ;;
  r) root=$(absolute "$OPTARG") ;;
  d) dir=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
if [ -n "$key" ]; then
  [ -z "$subject$issuer" ] || usage
elif [ -z "$subject" ] || [ -z "$issuer" ] || [ -z "$root" ]; then
  usage
fi
for file in "$@"; do
  case $file in
  */* | -* | '') echo "verify.sh: $file is not the name of an artifact; name the folder with -d" >&2; exit 2 ;;
  esac
done
for program in cosign sha256sum; do
  command -v "$program" >/dev/null || { echo "verify.sh: there is no $program on PATH" >&2; exit 2; }
done
case $dir in
'' | -) usage ;; # to cd these mean other folders
esac
CDPATH='' cd -- "$dir" || exit 2

# With a key nobody else has to be believed; cosign wants a file all the same.
[ -n "$root" ] || root=./trusted_root.json

# plain FILE: neither a link that leads elsewhere nor a pipe to wait for.
plain() {
  if [ ! -f "$1" ] || [ -L "$1" ]; then refuse "$1: missing, or not a file"; fi
}

# check VERB FILE BUNDLE [OPTION...]: one call of cosign.
check() {
  verb=$1 file=$2 bundle=$3
  shift 3
  plain "$file"
  plain "$bundle"
  if [ -n "$key" ]; then
    set -- --key "$key" --insecure-ignore-tlog "$@"
  else
    set -- --certificate-identity "$subject" --certificate-oidc-issuer "$issuer" --use-signed-timestamps "$@"
  fi
  # cosign says "Verified OK" on its standard error.
  said=$(cosign "$verb" "$@" --trusted-root "$root" --bundle "$bundle" "$file" 2>&1 </dev/null) ||
    refuse "$file: cosign $verb does not accept $bundle: $said"
}

# signature FILE: its signature. cosign verify-blob also takes the signature of a
# statement about the file, whatever that says. In a bundle such a statement has one
# of two names, of which JSON can write a letter in one other way, with \u.
signature() {
  check verify-blob "$1" "$1.sigstore.json"
  while IFS= read -r text || [ -n "$text" ]; do
    case $text in
    *'"dsseEnvelope"'* | *'"dsse_envelope"'* | *'\u'*) refuse "$1.sigstore.json: not a signature of a file" ;;
    esac
  done <"$1.sigstore.json"
}

# artifact NAME DIGEST
artifact() {
  plain "./$1"
  printf '%s  %s\n' "$2" "./$1" | sha256sum -c - >/dev/null || refuse "$1: not the file that release.json names"
  signature "./$1"
  check verify-blob-attestation "./$1" "./$1.spdx.sigstore.json" --type spdxjson
  check verify-blob-attestation "./$1" "./$1.provenance.sigstore.json" --type slsaprovenance1
  echo "PASS  $1"
  carried=${1%.oci.tar}.oci.d
  case $1 in
  *.oci.tar) [ ! -e "./$carried" ] || echo "SKIP  $carried: not verified here; mage verify does it, or cosign where it was published" ;;
  esac
}

signature ./release.json

# release.json has one form: the fields of an artifact, and no others, stand
# behind six spaces, its name before its digest.
found=0 name='' names=/
while IFS= read -r line; do
  case $line in
  '      "name": "'*'",')
    [ -z "$name" ] || refuse "release.json has no digest of $name"
    name=${line#'      "name": "'}
    name=${name%'",'}
    ;;
  '      "digest": "sha256:'*'",')
    digest=${line#'      "digest": "sha256:'}
    digest=${digest%'",'}
    case $name in
    '' | */* | *\\*) refuse "release.json names an artifact $name" ;;
    esac
    case $names in
    */"$name"/*) refuse "release.json names $name twice" ;;
    esac
    names=$names$name/
    wanted=$#
    for file in "$@"; do
      [ "$file" != "$name" ] || wanted=0
    done
    if [ "$wanted" -eq 0 ]; then
      artifact "$name" "$digest"
      found=$((found + 1))
    fi
    name=
    ;;
  esac
done <release.json

[ -z "$name" ] || refuse "release.json has no digest of $name"
for file in "$@"; do
  case $names in
  */"$file"/*) ;;
  *) refuse "release.json does not name $file" ;;
  esac
done
[ "$found" -gt 0 ] || refuse "release.json names no artifact"
echo "PASSED  $found artifacts, $(sha256sum release.json)"
