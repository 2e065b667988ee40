package yaml_test

import (
	"fmt"
	"os"
	"path/filepath"

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
