package docs_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestServersHaveTheMetricsOfThePage: a server has every metric that docs/operations.md names. An
// alert on any other name would never fire.
func TestServersHaveTheMetricsOfThePage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	names := regexp.MustCompile("`(etcd_[a-z_]+[a-z])`").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, names)

	server := etcdtest.Start(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Get(server.Endpoints()[0] + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, name := range names {
		assert.Contains(t, string(metrics), "\n# TYPE "+name[1]+" ")
	}
}
