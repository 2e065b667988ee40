package endpoint

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	grpcresolver "google.golang.org/grpc/resolver"

	"go.etcd.io/etcd/client/v3/internal/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEndpointsOfEverySchemeParse(t *testing.T) {
	for _, tc := range []struct {
		in, address, authority string
		security               Security
		network, target        string
	}{
		{"127.0.0.1:2379", "127.0.0.1:2379", "127.0.0.1:2379", ByConfig, "tcp", "127.0.0.1:2379"},
		{"localhost", "localhost", "localhost", ByConfig, "tcp", "localhost"},
		{":2379", ":2379", "localhost:2379", ByConfig, "tcp", ":2379"},
		{"[::1]:2379", "[::1]:2379", "[::1]:2379", ByConfig, "tcp", "[::1]:2379"},
		{"http://a.example:2379", "a.example:2379", "a.example:2379", Plain, "tcp",
			"a.example:2379"},
		{"HTTP://a.example:2379", "a.example:2379", "a.example:2379", Plain, "tcp",
			"a.example:2379"},
		{"http://a.example:2379/a/path", "a.example:2379", "a.example:2379", Plain, "tcp",
			"a.example:2379"},
		{"https://[fe80::1%25eth0]:2379", "[fe80::1%eth0]:2379", "[fe80::1%eth0]:2379", Encrypted,
			"tcp", "[fe80::1%eth0]:2379"},
		{"https://a.example:2379", "a.example:2379", "a.example:2379", Encrypted, "tcp",
			"a.example:2379"},
		{"unix:rel/sock", "unix:rel/sock", "sock", ByConfig, "unix", "rel/sock"},
		{"unix:/abs/sock", "unix:///abs/sock", "sock", ByConfig, "unix", "/abs/sock"},
		{"unix:///abs/sock", "unix:///abs/sock", "sock", ByConfig, "unix", "/abs/sock"},
		{"unix://rel:0", "unix:rel:0", "rel:0", ByConfig, "unix", "rel:0"},
		{"unix:localhost:m0", "unix:localhost:m0", "localhost:m0", ByConfig, "unix",
			"localhost:m0"},
		{"unix://localhost:m0", "unix:localhost:m0", "localhost:m0", ByConfig, "unix",
			"localhost:m0"},
		{"unixs:localhost:m0", "unix:localhost:m0", "localhost:m0", Encrypted, "unix",
			"localhost:m0"},
		{"unixs://127.0.0.1:m0", "unix:127.0.0.1:m0", "127.0.0.1:m0", Encrypted, "unix",
			"127.0.0.1:m0"},
		{"http://LocalHost:1", "localhost:1", "localhost:1", Plain, "tcp", "localhost:1"},
		{"[0:0::1]:1", "[::1]:1", "[::1]:1", ByConfig, "tcp", "[::1]:1"},
		{"http://root:secret@a:1", "a:1", "a:1", Plain, "tcp", "a:1"},
		{"unixs:///abs/sock", "unix:///abs/sock", "sock", Encrypted, "unix", "/abs/sock"},
		{"unixs:rel", "unix:rel", "rel", Encrypted, "unix", "rel"},
	} {
		e, err := Parse(tc.in)
		require.NoError(t, err, tc.in)
		assert.Equal(t, Endpoint{tc.address, tc.authority, tc.security}, e, tc.in)
		network, target := Network(e.Address)
		assert.Equal(t, tc.network, network, tc.in)
		assert.Equal(t, tc.target, target, tc.in)
		assert.Equal(t, tc.authority, e.Resolved(nil).ServerName)
		assert.Equal(t, tc.address, e.Resolved(nil).Addr)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                     `endpoint "": no host`,
		"http://":              `endpoint "http://": no host`,
		"http:///path":         `no host`,
		"ftp://a:1":            `unknown scheme "ftp"`,
		"dns:///a:1":           `unknown scheme "dns"`,
		"a:b":                  `port "b"`,
		"a:70000":              `port "70000"`,
		"a:-1":                 `port "-1"`,
		"::1:2379":             `endpoint "::1:2379"`,
		"a b:1":                `' ' does not belong`,
		"user@a:1":             `'@' does not belong`,
		"127.0.0.1:2379/":      `'/' does not belong`,
		"a:1,b:1":              `endpoint "a:1,b:1"`,
		"http://%zz":           `endpoint "http://%zz"`,
		"https://a:1\n":        `endpoint "https://a:1\n"`,
		"unix:":                `no socket path`,
		"unix://":              `no socket path`,
		"http://[::1:2379":     `endpoint "http://[::1:2379"`,
		"https://host:99999/x": `port "99999"`,
	} {
		_, err := Parse(in)
		require.ErrorContains(t, err, want, in)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a:1", "http://[::1]:2", "unix:x", "unixs://y",
		"https://a/b?c#d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		e, err := Parse(in)
		if err != nil {
			assert.Contains(t, err.Error(), "endpoint ")
			return
		}
		assert.NotEmpty(t, e.Address)
		assert.NotEmpty(t, e.Authority)
	})
}

// TestHandshakeFollowsTheScheme looks at what the other end of a connection receives first: a TLS
// handshake record, or HTTP/2's preface.
func TestHandshakeFollowsTheScheme(t *testing.T) {
	for _, tc := range []struct {
		endpoint string
		cfg      *tls.Config
		first    byte
	}{
		{"http://a:1", nil, preface},
		{"http://a:1", &tls.Config{}, preface},
		{"a:1", nil, preface},
		{"a:1", &tls.Config{}, handshake},
		{"https://a:1", nil, handshake},
		{"https://a:1", &tls.Config{}, handshake},
		{"unixs:x", nil, handshake},
		{"unix:x", nil, preface},
	} {
		e, err := Parse(tc.endpoint)
		require.NoError(t, err)
		assert.Equal(t, tc.first, firstByte(t, e, NewCredentials(tc.cfg, nil)), tc.endpoint)
	}
}

const (
	preface   = 'P'
	handshake = 22
)

// firstByte connects to e and returns the first byte that gRPC sends to the server.
func firstByte(t *testing.T, e Endpoint, creds *Credentials) byte {
	first := make(chan byte, 1)
	dial := func(context.Context, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { // ends at the first byte or when gRPC closes the connection
			defer theirs.Close()
			b := make([]byte, 1)
			if n, _ := theirs.Read(b); n == 1 {
				select {
				case first <- b[0]:
				default:
				}
			}
		}()
		return ours, nil
	}
	r := resolver.New(`{}`, nil, []grpcresolver.Address{e.Resolved(creds)})
	conn, err := grpc.NewClient(r.Target(), grpc.WithResolvers(r),
		grpc.WithTransportCredentials(creds.Clone()), grpc.WithContextDialer(dial))
	require.NoError(t, err)
	defer conn.Close()
	conn.Connect()
	return <-first
}

// TestErrorsAndLogsHaveNoUserInformation: no error or log message shows the user information of an
// endpoint, because it may have a password.
func TestErrorsAndLogsHaveNoUserInformation(t *testing.T) {
	for _, ep := range []string{
		"http://root:secret@host:badport", "http://root:secret@", "https://root:secret@a b:1",
		"ftp://root:secret@host:1",
		"root:secret@host:1", "http://root:secret%zz@host:1", "http://root:12/secret@host:x1",
		"http://root:secret/w@host:1", "http://root:secret#@host", "http://ro ot:secret@host:1",
	} {
		_, err := Parse(ep)
		if err != nil {
			assert.NotContains(t, err.Error(), "secret", ep)
			assert.NotContains(t, err.Error(), "root", ep)
		}
		assert.NotContains(t, Redact(ep), "secret", ep)
		assert.NotContains(t, Raw(ep).Authority, "secret", ep)
	}
	_, err := Parse("http://root:secret@host:badport")
	assert.EqualError(t, err, `endpoint "http://xxxxx@host:badport": invalid port ":badport" after host`)
	assert.Equal(t, []string{"h:1", "https://h:1"}, RedactAll([]string{"h:1", "https://h:1"}))
}

// TestConnectionsReportWhatTheyAre: the credentials of each connection report whether it uses TLS.
// That depends on the endpoint's scheme and, without a scheme, on the TLS configuration.
func TestConnectionsReportWhatTheyAre(t *testing.T) {
	for _, tc := range []struct {
		endpoint string
		cfg      *tls.Config
		protocol string
	}{
		{"http://a:1", nil, "insecure"},
		{"http://a:1", &tls.Config{}, "insecure"},
		{"a:1", nil, "insecure"},
		{"a:1", &tls.Config{}, "tls"},
		{"https://a:1", nil, "tls"},
		{"unix:a", &tls.Config{}, "tls"},
	} {
		e, err := Parse(tc.endpoint)
		require.NoError(t, err)
		creds := NewCredentials(tc.cfg, nil)
		assert.Equal(t, tc.protocol, BundleOf(
			e.Resolved(creds).Attributes).TransportCredentials().Info().SecurityProtocol,
			tc.endpoint)
		assert.Equal(t, tc.protocol, creds.As(e.Security).Info().SecurityProtocol)
		assert.Equal(t, tc.protocol == "tls", creds.Encrypts(e.Security))
	}
}

// TestOneAddressHasOneSpelling: endpoints that are spelled differently but name one server resolve
// to equal addresses. So gRPC keeps the connection when one spelling replaces another.
func TestOneAddressHasOneSpelling(t *testing.T) {
	creds := NewCredentials(nil, nil)
	for a, b := range map[string]string{
		"h:1": "http://h:1", "http://h:1": "HTTP://H:1/", "[::1]:1": "http://[0:0::1]:1",
		"unix:/p": "unix:///p", "unixs:p": "unixs://p",
	} {
		ea, err := Parse(a)
		require.NoError(t, err)
		eb, err := Parse(b)
		require.NoError(t, err)
		assert.True(t, ea.Resolved(creds).Equal(eb.Resolved(creds)), "%s and %s", a, b)
	}
}
