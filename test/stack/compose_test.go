// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// compose is the part of docker-compose.yaml that these tests read. Unknown keys are an error, so that a misspelled one
// is found.
type compose struct {
	Name     string             `yaml:"name"`
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Build           map[string]any    `yaml:"build"`
	Image           string            `yaml:"image"`
	User            string            `yaml:"user"`
	Command         []string          `yaml:"command"`
	Environment     map[string]string `yaml:"environment"`
	Volumes         []mount           `yaml:"volumes"`
	Ports           []string          `yaml:"ports"`
	HealthCheck     map[string]any    `yaml:"healthcheck"`
	DependsOn       []string          `yaml:"depends_on"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
	Restart         string            `yaml:"restart"`
	Deploy          map[string]any    `yaml:"deploy"`
}

type mount struct {
	Type     string          `yaml:"type"`
	Source   string          `yaml:"source"`
	Target   string          `yaml:"target"`
	ReadOnly bool            `yaml:"read_only"`
	Bind     map[string]bool `yaml:"bind"`
}

func readYAML(t *testing.T, into any, path ...string) {
	t.Helper()
	file, err := os.Open(filepath.Join(append([]string{collector.Root()}, path...)...))
	require.NoError(t, err)
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(into), "%s", path)
}

func readText(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{collector.Root()}, path...)...))
	require.NoError(t, err)
	return string(data)
}

// TestComposeReferences checks what a container engine would only notice at run time.
func TestComposeReferences(t *testing.T) {
	var c compose
	readYAML(t, &c, "docker-compose.yaml")
	pinned := regexp.MustCompile(`:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$`)
	for name, s := range c.Services {
		if s.Build == nil {
			assert.Regexp(t, pinned, s.Image, "%s: the version is pinned", name)
		}
		assert.Equal(t, "unless-stopped", s.Restart, name)
		for _, m := range s.Volumes {
			switch {
			case m.Type == "volume":
				assert.Contains(t, c.Volumes, m.Source, "%s: the volume is declared", name)
			case strings.HasPrefix(m.Source, "./videos/"):
				assert.Equal(t, map[string]bool{"create_host_path": false}, m.Bind,
					"%s: a directory created by Docker would belong to root", name)
			default:
				_, err := os.Stat(filepath.Join(collector.Root(), m.Source))
				require.NoError(t, err, "%s mounts a missing file", name)
				assert.True(t, m.ReadOnly, "%s: %s is mounted read-only", name, m.Source)
			}
		}
		for _, port := range s.Ports {
			assert.Regexp(t, `^127\.0\.0\.1:(\d+|\$\{\w+:-\d+\}):\d+$`, port,
				"%s: ports are published on localhost only", name)
		}
		for key, value := range s.Environment {
			if strings.Contains(key, "PASSWORD") {
				assert.Regexp(t, `^\$\{\w+:\?`, value, "%s: %s has no default", name, key)
			}
		}
		assert.NotNil(t, s.HealthCheck, name)
		for _, other := range s.DependsOn {
			assert.Contains(t, c.Services, other)
		}
	}

	var gpu compose
	readYAML(t, &gpu, "docker-compose.gpu.yaml")
	for name := range gpu.Services {
		assert.Contains(t, c.Services, name, "the GPU file overrides a service")
	}
}

// TestPortsAgree checks that some service listens on each port that another service connects to.
func TestPortsAgree(t *testing.T) {
	var c compose
	readYAML(t, &c, "docker-compose.yaml")
	listens := map[string]string{
		"anonymizer": readText(t, "config", "stack", "collector.yaml"),
		"jaeger":     readText(t, "config", "stack", "jaeger", "config.yaml"),
		"prometheus": ":9090",
		"grafana":    ":3000",
	}
	checkListens := func(service, port string) {
		t.Helper()
		require.Contains(t, c.Services, service)
		assert.Regexp(t, `(:|port: |:-)`+port+`\b`, listens[service], "%s listens on %s", service, port)
	}
	for name, s := range c.Services {
		for _, port := range s.Ports {
			checkListens(name, port[strings.LastIndex(port, ":")+1:])
		}
	}
	clients := []string{
		readText(t, "config", "stack", "prometheus", "prometheus.yml"),
		readText(t, "config", "stack", "grafana", "provisioning", "datasources", "datasources.yaml"),
		readText(t, "config", "stack", "collector.yaml"),
		readText(t, "config", "stack", "jaeger", "config.yaml"),
	}
	found := 0
	address := regexp.MustCompile(`\b(anonymizer|jaeger|prometheus|grafana):(\d+)`)
	for _, text := range clients {
		for _, match := range address.FindAllStringSubmatch(text, -1) {
			checkListens(match[1], match[2])
			found++
		}
	}
	assert.GreaterOrEqual(t, found, 6, "the configurations refer to each other")
}
