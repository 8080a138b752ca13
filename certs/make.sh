#!/bin/sh
# Makes ca.pem, server.pem, server.key, client.pem and client.key anew in this
# directory. The authority's own key is thrown away: it signs these two and no
# more.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$work/index"

# `openssl ca` alone can set the first day, which lies in the past for the sake
# of clocks that are slow.
cat > "$work/config" <<CONFIG
[ca]
default_ca = signing
[signing]
database = $work/index
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
default_startdate = 20250101000000Z
default_days = 36500
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
CONFIG

# request NAME: a key and a request to certify it, in the work directory
request() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
    openssl req -new -config "$work/config" -key "$work/$1.key" \
        -subj "/CN=wirenet test $1" -out "$work/$1.csr"
}

# certify NAME HOW...: its certificate, here
certify() {
    name=$1
    shift
    openssl ca -batch -notext -config "$work/config" -extensions "$name" \
        -in "$work/$name.csr" -out "$name.pem" "$@"
}

request authority
certify authority -selfsign -keyfile "$work/authority.key"
mv authority.pem ca.pem
for name in server client; do
    request $name
    certify $name -cert ca.pem -keyfile "$work/authority.key"
    mv "$work/$name.key" .
done
