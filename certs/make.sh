#!/bin/sh
# Creates ca.pem, server.pem, server.key, client.pem and client.key in this
# directory, replacing the old ones. Deletes the authority's key at the end, so
# that nothing else can be signed with it.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$work/index"

# Of OpenSSL's commands, only `openssl ca` can set the start date. It is in the
# past, so that machines with slow clocks accept the certificates.
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

# request NAME: creates a key and its signing request in the work directory
request() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
    openssl req -new -config "$work/config" -key "$work/$1.key" \
        -subj "/CN=wirenet test $1" -out "$work/$1.csr"
}

# certify NAME OPTION...: creates the certificate in the current directory
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
