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
// file. NewClientConfig makes a Config of a ConfigSpec.
type ConfigSpec struct {
	// Endpoints are as in Config.
	Endpoints []string `json:"endpoints"`
	// RequestTimeout is how long the program lets a request take. NewClientConfig ignores it,
	// because a Config has no such setting.
	RequestTimeout time.Duration `json:"request-timeout"`
	// DialTimeout is as in Config.
	DialTimeout time.Duration `json:"dial-timeout"`
	// KeepAliveTime is Config.DialKeepAliveTime.
	KeepAliveTime time.Duration `json:"keepalive-time"`
	// KeepAliveTimeout is Config.DialKeepAliveTimeout.
	KeepAliveTimeout time.Duration `json:"keepalive-timeout"`
	// MaxCallSendMsgSize is as in Config, in bytes.
	MaxCallSendMsgSize int `json:"max-request-bytes"`
	// MaxCallRecvMsgSize is as in Config, in bytes.
	MaxCallRecvMsgSize int `json:"max-recv-bytes"`
	// DisableProbes is as in Config.
	DisableProbes bool `json:"disable-probes"`
	// Secure holds the TLS settings; nil means no TLS.
	Secure *SecureConfig `json:"secure"`
	// Auth holds the credentials; nil means none.
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
	Token    string `json:"token"`    // sent with every request, instead of a login
}

// Empty reports whether no field is set.
func (cfg AuthConfig) Empty() bool { return cfg == AuthConfig{} }

// SecureConfig holds TLS settings.
type SecureConfig struct {
	// Cert and Key name the PEM files of the client's certificate: both or neither. They are read
	// again for every connection.
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// Cacert names the PEM file of the authorities that sign servers' certificates. Empty means
	// those of the system.
	Cacert string `json:"cacert"`
	// ServerName is the name that the certificates of all endpoints are checked against. Empty
	// means the host of each endpoint.
	ServerName string `json:"server-name"`

	// InsecureTransport means no TLS. It has no effect if any other field is set.
	InsecureTransport bool `json:"insecure-transport"`
	// InsecureSkipVerify accepts any certificate. The connection is encrypted, but the server may
	// be an impostor.
	InsecureSkipVerify bool `json:"insecure-skip-tls-verify"`
}

// NewClientConfig returns a Config made from confSpec, and reads the files that confSpec names. It
// logs a warning to lg, which may be nil, if certificates are not verified. It does not set the
// Config's Logger. The error names a file that cannot be used, or a certificate without a key, or a
// key without a certificate. NewClientConfig does not check other values; New does.
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
