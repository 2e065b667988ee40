package etcdtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// jwtKey is one per process, since making an RSA key takes longer than starting a server.
var jwtKey = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, 2048)
})

// jwtSpec writes the key pair to dir and returns the --auth-token flag that uses it.
func jwtSpec(dir string, ttl time.Duration) (string, error) {
	key, err := jwtKey()
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", err
	}
	pubFile, keyFile := filepath.Join(dir, "jwt.pub"), filepath.Join(dir, "jwt.key")
	if err := writePEM(pubFile, "PUBLIC KEY", public); err != nil {
		return "", err
	}
	if err := writePEM(keyFile, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)); err != nil {
		return "", err
	}
	return fmt.Sprintf("jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=%v", pubFile, keyFile,
		ttl), nil
}
