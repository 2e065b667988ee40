package etcdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// httpTimeout limits the wait for one HTTP response, because a paused member does not answer.
const httpTimeout = 20 * time.Second

// maxBody limits how many bytes of a response are read. A member's metrics are some 200 KiB.
const maxBody = 16 << 20

// newHTTPClient returns a client for the member's HTTP endpoints. The client closes its connection
// after each request, so that no goroutine is left.
func (m *Member) newHTTPClient() *http.Client {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: m.dial}
	if m.cluster.certs != nil {
		transport.TLSClientConfig = m.cluster.TLSConfig()
		transport.TLSClientConfig.ServerName = m.serverName
	}
	return &http.Client{Transport: transport, Timeout: httpTimeout}
}

// dial connects to the member. It ignores the address that the HTTP client passes.
func (m *Member) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, m.network, m.address)
}

// get fetches one of the paths that the member serves to clients over HTTP.
func (m *Member) get(ctx context.Context, path string) ([]byte, error) {
	scheme := "http"
	if m.cluster.certs != nil {
		scheme = "https"
	}
	return fetch(ctx, m.http, scheme+"://"+m.name+path)
}

// waitPeers waits until the member answers requests of other members.
func (m *Member) waitPeers(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		Timeout: httpTimeout}
	err := poll(ctx, func(ctx context.Context) error {
		_, err := fetch(ctx, client, m.peerURL+"/version")
		return err
	})
	if err != nil {
		return fmt.Errorf("etcdtest: %s does not answer its peers: %w", m.name, err)
	}
	return nil
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // the error does not matter: the body was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}

// checkServing returns nil if the member answers linearizable reads and the cluster has agreed on
// the cluster version. Members refuse every request before there is a cluster version.
func (m *Member) checkServing(ctx context.Context) error {
	body, err := m.get(ctx, "/version")
	if err != nil {
		return err
	}
	var version struct {
		Cluster string `json:"etcdcluster"`
	}
	if err := json.Unmarshal(body, &version); err != nil {
		return fmt.Errorf("/version: %q: %w", body, err)
	}
	if version.Cluster == "not_decided" {
		return fmt.Errorf("/version: the cluster version is %s", version.Cluster)
	}
	_, err = m.get(ctx, "/health")
	return err
}
