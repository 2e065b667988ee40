package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certLife is how long the certificates are valid. It is longer than any test.
const certLife = 24 * time.Hour

// authority is the certificate authority (CA) of one cluster. It is read-only after newAuthority
// and issueServer.
type authority struct {
	dir  string // the directory of all certificate and key files
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes a CA, and a client certificate for each name in clientCNs. It writes their
// files to dir.
func newAuthority(dir string, clientCNs []string) (*authority, error) {
	a := &authority{dir: dir, pool: x509.NewCertPool()}
	template := certTemplate("etcdtest CA")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true,
		x509.KeyUsageCertSign
	if err := a.issue("ca", template); err != nil {
		return nil, err
	}
	a.pool.AddCert(a.cert)
	for _, cn := range clientCNs {
		template := certTemplate(cn)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if err := a.issue("client-"+cn, template); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// issueServer makes the files NAME.crt and NAME.key of a server certificate for exactly the given
// DNS names and IP addresses.
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
	return a.issue(name, template)
}

// issue makes a key and a certificate, and writes their files. The first certificate that issue
// makes is the CA's own.
func (a *authority) issue(name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return fmt.Errorf("etcdtest: certificate %q: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if a.cert == nil {
		a.key = key
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return err
		}
	}
	return errors.Join(writePEM(a.file(name, ".crt"), "CERTIFICATE", der),
		writePEM(a.file(name, ".key"), "PRIVATE KEY", keyDER))
}

func (a *authority) file(name, suffix string) string { return filepath.Join(a.dir, name+suffix) }

// certTemplate returns a template without a serial number, for which x509 chooses a random one.
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

// jwtSpec writes a new signing key to dir, and returns the value of the flag --auth-token that
// makes etcd use the key.
func jwtSpec(dir string, ttl time.Duration) (string, error) {
	file := filepath.Join(dir, "jwt.key")
	err := os.WriteFile(file, []byte(rand.Text()), 0o600)
	return fmt.Sprintf("jwt,priv-key=%s,sign-method=HS256,ttl=%v", file, ttl), err
}
