package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certLife is how long the certificates are valid: longer than any test.
const certLife = 24 * time.Hour

// authority is the CA of one cluster and the certificates that it signed. It is read-only once
// made.
type authority struct {
	dir     string
	pool    *x509.CertPool
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	clients map[string]tls.Certificate // by common name
}

// newAuthority makes a CA and a certificate for each client, with their files in dir.
func newAuthority(dir string, clientCNs []string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{dir: dir, key: key, pool: x509.NewCertPool(),
		clients: make(map[string]tls.Certificate)}
	template := certTemplate("etcdtest CA")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true,
		x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pool.AddCert(a.cert)
	if err := writePEM(a.caFile(), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	for _, cn := range clientCNs {
		template := certTemplate(cn)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if a.clients[cn], err = a.issue("client-"+cn, template); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// issueServer makes the files NAME.crt and NAME.key of a server certificate that holds just the
// given DNS names and IP addresses.
func (a *authority) issueServer(name string, hosts []string) error {
	template := certTemplate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	_, err := a.issue(name, template)
	return err
}

func (a *authority) issue(file string, template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("etcdtest: certificate %q: %w", file, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := writePEM(a.file(file, ".crt"), "CERTIFICATE", der); err != nil {
		return tls.Certificate{}, err
	}
	if err := writePEM(a.file(file, ".key"), "PRIVATE KEY", keyDER); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (a *authority) caFile() string { return a.file("ca", ".crt") }

func (a *authority) file(name, suffix string) string { return filepath.Join(a.dir, name+suffix) }

// clientTLS trusts the CA and shows the certificate of cn; with cn "" it shows none.
func (a *authority) clientTLS(cn string) *tls.Config {
	cfg := &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}
	if cn != "" {
		cfg.Certificates = []tls.Certificate{a.clients[cn]}
	}
	return cfg
}

// certTemplate has no serial number: x509 draws one.
func certTemplate(cn string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: cn},
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(certLife),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
