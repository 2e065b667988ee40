package yaml_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/client/v3/yaml"
)

func ExampleNewConfig() {
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "etcd.yaml")
	err = os.WriteFile(path, []byte(`
endpoints: [10.0.0.1:2379, 10.0.0.2:2379]
dial-timeout: 5s
username: alice
password: secret
insecure-transport: true
`), 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}

	cfg, err := yaml.NewConfig(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Endpoints, cfg.DialTimeout, cfg.Username)
	// Output: [10.0.0.1:2379 10.0.0.2:2379] 5s alice
}

// A misspelt key is an error that names it.
func ExampleNewStrictConfig() {
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "etcd.yaml")
	if err := os.WriteFile(path, []byte("endpoint: [10.0.0.1:2379]\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	_, err = yaml.NewStrictConfig(path)
	_, cause, _ := strings.Cut(err.Error(), "json: ")
	fmt.Println(cause)
	// Output: unknown field "endpoint"
}
