package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// certScenarios change the members' certificates, which etcd reads anew for each connection.
var certScenarios = []scenario{
	{
		name: "certificates",
		about: "All members get new certificates and lose their connections; a follower's is " +
			"signed by itself.",
		options: []etcdtest.Option{etcdtest.WithTLS()},
		plan:    usualLoad, length: 5 * time.Second, asked: "connections to the follower",
		fault: rotate, heal: renewFollower,
	},
}

// rotate gives every member a new certificate. The follower's is signed by itself, so no client
// trusts it.
func rotate(_ context.Context, b *bed) error {
	for i := range memberCount {
		if err := b.renew(i, i != b.follower()); err != nil {
			return err
		}
	}
	b.asked = -b.proxies[b.follower()].Accepted()
	for _, p := range b.proxies {
		p.Reset()
	}
	return nil
}

func renewFollower(_ context.Context, b *bed) error {
	b.asked += b.proxies[b.follower()].Accepted()
	return b.renew(b.follower(), true)
}

// renew writes a new certificate for a member. The cluster's CA signs it if the parameter trusted
// is true. Otherwise the certificate is signed by itself.
func (b *bed) renew(member int, trusted bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: b.member(member).Name()}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := template, any(key)
	if trusted {
		ca, err := tls.LoadX509KeyPair(b.CAFile(), strings.TrimSuffix(b.CAFile(), ".crt")+".key")
		if err != nil {
			return err
		}
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(b.CAFile()), b.member(member).Name())
	return errors.Join(replacePEM(file+".crt", "CERTIFICATE", cert),
		replacePEM(file+".key", "PRIVATE KEY", private))
}

// replacePEM replaces a file atomically.
func replacePEM(path, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
