package yaml

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// tls loads the files that the keys about TLS name. It returns the TLS config, and a description of
// each key that has no effect.
func (f *file) tls() (_ *tls.Config, ignored []string, _ error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.InsecureSkipTLSVerify}
	switch {
	case f.CertFile != "" && f.KeyFile == "":
		ignored = []string{fmt.Sprintf("cert-file %q without a key-file", f.CertFile)}
	case f.KeyFile != "" && f.CertFile == "":
		ignored = []string{fmt.Sprintf("key-file %q without a cert-file", f.KeyFile)}
	case f.CertFile != "":
		cert, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, nil, fmt.Errorf("cert-file %q, key-file %q: %w", f.CertFile, f.KeyFile, err)
		}
		// Programs look for the certificate here; handshakes call the function below.
		cfg.Certificates = []tls.Certificate{cert}
		cfg.GetClientCertificate = renewed(f.CertFile, f.KeyFile, &cert)
	}
	if f.TrustedCAFile != "" {
		pool, missing, err := authorities(f.TrustedCAFile)
		if err != nil {
			return nil, nil, err
		}
		cfg.RootCAs, ignored = pool, append(ignored, missing...)
	}
	return cfg, ignored, nil
}

// authorities reads the authorities that servers' certificates are checked with. If the file has no
// PEM block, that is no error: missing describes it, and with the empty pool no certificate is
// accepted.
func authorities(name string) (pool *x509.CertPool, missing []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("trusted-ca-file: %w", err)
	}
	pool = x509.NewCertPool()
	if pool.AppendCertsFromPEM(text) {
		return pool, nil, nil
	}
	none := fmt.Sprintf("trusted-ca-file %q has no certificate in PEM format", name)
	if block, _ := pem.Decode(text); block != nil {
		return nil, nil, errors.New(none)
	}
	return pool, []string{none}, nil
}

// renewed returns a function for tls.Config.GetClientCertificate that reads the files each time. If
// they cannot be read, or do not fit together because only one has been replaced yet, it returns
// the last certificate that was read. If the server says that it would not accept the certificate,
// it returns none, as a tls.Config without such a function does.
func renewed(
	certFile, keyFile string, first *tls.Certificate,
) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var last atomic.Pointer[tls.Certificate]
	last.Store(first)
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
			last.Store(&cert)
		}
		cert := last.Load()
		if request.SupportsCertificate(cert) != nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}
}
