package yaml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/yaml"
)

// selfSigned makes a self-signed certificate with the common name, and writes it and its private
// key to PEM files.
func selfSigned(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))),
		write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

// withPair reads a configuration with a certificate.
func withPair(t *testing.T, certFile, keyFile string) *clientv3.Config {
	t.Helper()
	cfg, err := yaml.NewStrictConfig(write(t, strings.Join([]string{
		"endpoints: [127.0.0.1:1]", "cert-file: " + certFile, "key-file: " + keyFile,
		"trusted-ca-file: " + certFile,
	}, "\n")))
	require.NoError(t, err)
	return cfg
}

func TestCertificateFiles(t *testing.T) {
	certFile, keyFile := selfSigned(t, "alice")
	cfg := withPair(t, certFile, keyFile)
	require.Len(t, cfg.TLS.Certificates, 1)
	assert.Equal(t, "alice", cfg.TLS.Certificates[0].Leaf.Subject.CommonName)
	assert.NotNil(t, cfg.TLS.RootCAs)

	client, err := clientv3.New(*cfg)
	require.NoError(t, err)
	assert.Equal(t, []string{"127.0.0.1:1"}, client.Endpoints())
	assert.NoError(t, client.Close())
}

// shown makes a TLS handshake with a server that asks the client for a certificate. It returns the
// common name of the certificate that the client shows, or "" if it shows none.
func shown(t *testing.T, client *tls.Config, acceptable *x509.CertPool) string {
	t.Helper()
	serverCert, err := tls.LoadX509KeyPair(selfSigned(t, "server"))
	require.NoError(t, err)
	client = client.Clone()
	client.InsecureSkipVerify = true
	near, far := net.Pipe()
	defer near.Close()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{serverCert},
		ClientAuth: tls.RequestClientCert, ClientCAs: acceptable})
	defer far.Close()
	done := make(chan error, 1)
	// Ends with the handshake, or when the pipe is closed.
	go func() { done <- tls.Client(near, client).Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done)
	for _, cert := range server.ConnectionState().PeerCertificates {
		return cert.Subject.CommonName
	}
	return ""
}

// TestRenewedCertificateIsShown: the client reads the certificate and its key from the files for
// each handshake. If the reading fails, the client shows the certificate that it read before. The
// reading fails, for example, while only one of the two files is renewed.
func TestRenewedCertificateIsShown(t *testing.T) {
	certFile, keyFile := selfSigned(t, "before")
	cfg := withPair(t, certFile, keyFile).TLS
	require.Equal(t, "before", shown(t, cfg, nil))

	newCert, newKey := selfSigned(t, "after")
	require.NoError(t, os.Rename(newCert, certFile))
	require.Equal(t, "before", shown(t, cfg, nil), "the new certificate has the old key yet")
	require.NoError(t, os.Rename(newKey, keyFile))
	require.Equal(t, "after", shown(t, cfg, nil))
	require.NoError(t, os.Remove(certFile))
	require.Equal(t, "after", shown(t, cfg, nil))
}

// TestCertificateOfAnotherAuthorityIsNotShown: a server names the certificate authorities that it
// trusts. The client shows its certificate only if one of them has signed it.
func TestCertificateOfAnotherAuthorityIsNotShown(t *testing.T) {
	certFile, keyFile := selfSigned(t, "alice")
	cfg := withPair(t, certFile, keyFile).TLS
	otherFile, _ := selfSigned(t, "other")
	for file, want := range map[string]string{certFile: "alice", otherFile: ""} {
		pool := x509.NewCertPool()
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, pool.AppendCertsFromPEM(text))
		assert.Equal(t, want, shown(t, cfg, pool))
	}
}
