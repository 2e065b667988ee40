package clientv3

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
)

// ConfigSpec holds the settings of a client as plain values, such as those of a command line or a
// file. NewClientConfig makes a Config from a ConfigSpec.
type ConfigSpec struct {
	// Endpoints becomes Config.Endpoints.
	Endpoints []string `json:"endpoints"`
	// RequestTimeout is how long the program lets a request take. NewClientConfig ignores
	// RequestTimeout, because a Config has no such setting.
	RequestTimeout time.Duration `json:"request-timeout"`
	// DialTimeout becomes Config.DialTimeout.
	DialTimeout time.Duration `json:"dial-timeout"`
	// KeepAliveTime becomes Config.DialKeepAliveTime.
	KeepAliveTime time.Duration `json:"keepalive-time"`
	// KeepAliveTimeout becomes Config.DialKeepAliveTimeout.
	KeepAliveTimeout time.Duration `json:"keepalive-timeout"`
	// MaxCallSendMsgSize becomes Config.MaxCallSendMsgSize, in bytes.
	MaxCallSendMsgSize int `json:"max-request-bytes"`
	// MaxCallRecvMsgSize becomes Config.MaxCallRecvMsgSize, in bytes.
	MaxCallRecvMsgSize int `json:"max-recv-bytes"`
	// DisableProbes becomes Config.DisableProbes.
	DisableProbes bool `json:"disable-probes"`
	// Secure holds the TLS settings; nil means no TLS.
	Secure *SecureConfig `json:"secure"`
	// Auth holds the user name and password, or the token; nil means none.
	Auth *AuthConfig `json:"auth"`
}

// Clone returns a deep copy of cfg, or nil if cfg is nil.
func (cfg *ConfigSpec) Clone() *ConfigSpec {
	if cfg == nil {
		return nil
	}
	out := *cfg
	out.Endpoints = slices.Clone(cfg.Endpoints)
	if cfg.Secure != nil {
		out.Secure = new(*cfg.Secure)
	}
	if cfg.Auth != nil {
		out.Auth = new(*cfg.Auth)
	}
	return &out
}

// AuthConfig holds credentials: a user name with a password, or a token.
type AuthConfig struct {
	Username string `json:"username"` // the user who logs in
	Password string `json:"password"` // the password of Username
	Token    string `json:"token"`    // sent with every request; the client then does not log in
}

// Empty reports whether no field of cfg is set.
func (cfg AuthConfig) Empty() bool { return cfg == AuthConfig{} }

// SecureConfig holds TLS settings.
type SecureConfig struct {
	// Cert and Key name the PEM files with the client's certificate and its private key. Set both
	// or neither. The files are read again for every connection.
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// Cacert names the PEM file with the certificates of the authorities that servers' certificates
	// must be signed by. Empty means the system's authorities.
	Cacert string `json:"cacert"`
	// ServerName is the name that the certificates of all endpoints are checked against. If
	// ServerName is empty, the certificate of each endpoint is checked against that endpoint's
	// host.
	ServerName string `json:"server-name"`

	// InsecureTransport means no TLS. It has no effect if any other field is set.
	InsecureTransport bool `json:"insecure-transport"`
	// InsecureSkipVerify makes the client accept any server certificate. The connection is
	// encrypted, but the server may be an impostor.
	InsecureSkipVerify bool `json:"insecure-skip-tls-verify"`
}

// NewClientConfig returns a Config made from confSpec. It reads the files that confSpec names. It
// does not set the Config's Logger. If confSpec turns off the verification of certificates,
// NewClientConfig logs a warning to lg, which may be nil.
//
// It returns an error if confSpec is nil, a file cannot be used, or a certificate is named without
// its key or a key without its certificate. New checks all other values.
func NewClientConfig(confSpec *ConfigSpec, lg *zap.Logger) (*Config, error) {
	if confSpec == nil {
		return nil, fmt.Errorf("etcdclient: no ConfigSpec")
	}
	if lg == nil {
		lg = zap.NewNop()
	}
	tlsConfig, err := confSpec.Secure.tlsConfig(lg)
	if err != nil {
		return nil, err
	}
	cfg := &Config{
		TLS:                  tlsConfig,
		Endpoints:            slices.Clone(confSpec.Endpoints),
		MaxCallRecvMsgSize:   confSpec.MaxCallRecvMsgSize,
		MaxCallSendMsgSize:   confSpec.MaxCallSendMsgSize,
		DialTimeout:          confSpec.DialTimeout,
		DialKeepAliveTimeout: confSpec.KeepAliveTimeout,
		DialKeepAliveTime:    confSpec.KeepAliveTime,
		DisableProbes:        confSpec.DisableProbes,
	}
	if auth := confSpec.Auth; auth != nil {
		cfg.Username, cfg.Password, cfg.Token = auth.Username, auth.Password, auth.Token
	}
	return cfg, nil
}

// tlsConfig returns the TLS settings, or nil if s asks for no TLS.
func (s *SecureConfig) tlsConfig(lg *zap.Logger) (*tls.Config, error) {
	if s == nil || *s == (SecureConfig{InsecureTransport: true}) {
		return nil, nil
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, fmt.Errorf("etcdclient: certificate %q and key %q: need both or neither",
			s.Cert, s.Key)
	}
	cfg := &tls.Config{ServerName: s.ServerName}
	if s.Cert != "" || s.Cacert != "" {
		info := transport.TLSInfo{CertFile: s.Cert, KeyFile: s.Key, TrustedCAFile: s.Cacert,
			ServerName: s.ServerName, Logger: lg}
		var err error
		if cfg, err = info.ClientConfig(); err != nil {
			return nil, fmt.Errorf("etcdclient: TLS: %w", err)
		}
	}
	if s.InsecureSkipVerify {
		lg.Warn("certificates of servers are not verified")
		cfg.InsecureSkipVerify = true
	}
	return cfg, nil
}
