package client_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestSchemeIsThatOfTheConnection: the scheme of requests is https on encrypted connections and
// http on others. One client may have both.
func TestSchemeIsThatOfTheConnection(t *testing.T) {
	certs := httptest.NewTLSServer(nil)
	defer certs.Close()
	listen := func(wrap func(net.Conn) net.Conn) (string, chan string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		schemes := make(chan string, 1)
		var serving sync.WaitGroup
		serving.Go(func() { // ends when l is closed
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				// ends when the client closes conn
				serving.Go(func() { readScheme(wrap(conn), schemes) })
			}
		})
		t.Cleanup(func() { l.Close(); serving.Wait() })
		return l.Addr().String(), schemes
	}
	plain, plainSchemes := listen(func(c net.Conn) net.Conn { return c })
	secure, secureSchemes := listen(func(c net.Conn) net.Conn {
		return tls.Server(c, &tls.Config{Certificates: certs.TLS.Certificates,
			NextProtos: []string{"h2"}})
	})
	for _, eps := range [][]string{{"http://" + plain, "https://" + secure},
		{"https://" + secure, "http://" + plain}} {
		c := testclient.New(t, clientv3.Config{Endpoints: eps,
			TLS:          &tls.Config{InsecureSkipVerify: true},
			SpreadEvenly: true})
		seen := map[string]string{}
		for len(seen) < 2 && !t.Failed() {
			ctx, cancel := context.WithCancel(t.Context())
			var put sync.WaitGroup
			put.Go(func() { _, _ = c.Put(ctx, "k", "v") }) // is never answered
			select {
			case seen["plain"] = <-plainSchemes:
			case seen["secure"] = <-secureSchemes:
			case <-time.After(time.Minute):
				assert.Fail(t, "no request")
			}
			cancel()
			put.Wait()
		}
		assert.Equal(t, map[string]string{"plain": "http", "secure": "https"}, seen)
		require.NoError(t, c.Close())
	}
}

// readScheme reads HTTP/2 up to the headers of a request. The second header is :scheme, as an index
// into HPACK's static table.
func readScheme(conn net.Conn, schemes chan<- string) {
	defer conn.Close()
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	const settings, headers = 4, 1
	_, _ = conn.Write([]byte{0, 0, 0, settings, 0, 0, 0, 0, 0})
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		if head[3] != headers {
			continue
		}
		select {
		case schemes <- map[byte]string{0x86: "http", 0x87: "https"}[payload[1]]:
		default:
		}
	}
}
