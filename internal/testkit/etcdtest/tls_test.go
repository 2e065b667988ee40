package etcdtest

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	c := Start(t, WithTLS())
	require.True(t, strings.HasPrefix(c.Endpoints()[0], "https://127.0.0.1:"), c.Endpoints()[0])
	require.Empty(t, c.TLSConfig().Certificates)
	putGet(t, c, "v")
	require.NoError(t, handshake(c.Endpoints()[0], c.TLSConfig()),
		"the address itself is in the certificate")
	require.Error(t, handshake(c.Endpoints()[0], &tls.Config{}),
		"no other cluster has this CA")
}

// handshake makes a TLS connection to the endpoint. cfg names no server, so the certificate must be
// valid for the endpoint's host.
func handshake(endpoint string, cfg *tls.Config) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", u.Host, cfg)
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestMutualTLSRefusesAClientWithoutCertificate(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMutualTLS(), WithClientCNs("alice"))
	putGet(t, c, "v")
	for _, test := range []struct {
		cfg  *tls.Config
		code codes.Code
	}{
		{c.ClientTLS("alice"), codes.OK},
		{c.ClientTLS("root"), codes.OK},
		{c.ClientTLS(""), codes.Unavailable},
	} {
		creds := grpc.WithTransportCredentials(credentials.NewTLS(test.cfg))
		_, err := pb.NewKVClient(c.Pb(t, creds)).Range(testContext(t),
			&pb.RangeRequest{Key: []byte("k")})
		require.Equal(t, test.code, status.Code(err), "%v", err)
	}
	require.Nil(t, c.ClientTLS("bob"))
	require.Empty(t, c.CertFile("bob")+c.KeyFile("bob"))
}

func TestCertificateFilesLoad(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMutualTLS(), WithClientCNs("alice"))
	pair, err := tls.LoadX509KeyPair(c.CertFile("alice"), c.KeyFile("alice"))
	require.NoError(t, err)
	require.Equal(t, "alice", pair.Leaf.Subject.CommonName)
	ca, err := os.ReadFile(c.CAFile())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	cfg := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	require.NoError(t, handshake(c.Endpoints()[0], cfg))
}

func TestCertificateNamesTheUser(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMutualTLS(), WithClientCNs("alice"))
	require.NoError(t, c.AddRole("reader", &authpb.Permission{PermType: authpb.READ,
		Key: []byte("k")}))
	require.NoError(t, c.AddUser("alice", "", "reader"))
	require.NoError(t, c.EnableAuth("secret"))
	creds := grpc.WithTransportCredentials(credentials.NewTLS(c.ClientTLS("alice")))
	kv := pb.NewKVClient(c.Pb(t, creds))
	_, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
	require.NoError(t, err)
	_, err = kv.Put(testContext(t), &pb.PutRequest{Key: []byte("k")})
	require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}

func TestDisjointCertificateNames(t *testing.T) {
	t.Parallel()
	names := []string{"a.example", "b.example", "c.example"}
	c := Start(t, WithMembers(3), WithTLS(), WithCertNames(func(i int) []string {
		return names[i : i+1]
	}))
	putGet(t, c, "v")
	for i, m := range c.Members() {
		require.Equal(t, names[i], m.serverName)
		for _, name := range append(names, "127.0.0.1") {
			cfg := c.TLSConfig()
			cfg.ServerName = name
			err := handshake(m.Endpoint(), cfg)
			require.Equal(t, name == names[i], err == nil, "%s as %s: %v", m.Name(), name, err)
		}
	}
}
