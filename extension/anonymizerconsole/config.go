// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymizerconsole

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi/tokens"
)

// Config is the configuration of the extension.
type Config struct {
	// ServerConfig is the address, TLS, and authentication.
	confighttp.ServerConfig `mapstructure:",squash"`
	// Hosts are the host names without ports, in addition to the endpoint's and localhost, under which browsers may
	// request the console.
	Hosts []string `mapstructure:"hosts"`
	// BehindProxy states that the endpoint can be reached only through a proxy that speaks TLS or from this machine, so
	// that it may have any address without TLS.
	BehindProxy bool `mapstructure:"behind_proxy"`
	// Directory is where the tokens are kept.
	Directory string `mapstructure:"directory"`
	// SessionLifetime is how long a browser stays signed in.
	SessionLifetime time.Duration `mapstructure:"session_lifetime"`
	// Identity maps an authenticated client (auth) to a name and a role.
	Identity Identity `mapstructure:"identity"`
	// Upload lets operators upload files into a watched folder.
	Upload bool `mapstructure:"upload"`
	// MaxUploadSize is the maximum size of an uploaded file, in MiB.
	MaxUploadSize int64 `mapstructure:"max_upload_size"`
	// Links are the addresses of other tools that the page links to.
	Links Links `mapstructure:"links"`

	_ struct{}
}

// Identity maps the authentication data of an authenticator to names and roles.
type Identity struct {
	// Attribute is the attribute of the authentication data that holds the name.
	Attribute string `mapstructure:"attribute"`
	// Role is the role of names that are not in Roles; if empty, they are rejected.
	Role consoleapi.Role `mapstructure:"role"`
	// Roles are the roles by name.
	Roles map[string]consoleapi.Role `mapstructure:"roles"`

	_ struct{}
}

// Links are addresses of other tools.
type Links struct {
	Jaeger  string `mapstructure:"jaeger"`
	Grafana string `mapstructure:"grafana"`

	_ struct{}
}

const defaultEndpoint = "localhost:8090"

func defaultConfig() *Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = defaultEndpoint
	return &Config{
		ServerConfig: server, Directory: tokens.DefaultDirectory, SessionLifetime: 12 * time.Hour,
		Identity: Identity{Attribute: "subject", Role: consoleapi.RoleView}, MaxUploadSize: 20 << 10,
	}
}

var _ confmap.Validator = (*Config)(nil)

// Validate reports every error at once, each with its key and what to write instead.
func (c *Config) Validate() error {
	errs := []error{c.validateAddress()}
	if c.CORS.HasValue() {
		errs = append(errs, errors.New("cors: the console serves only its own page: remove the key"))
	}
	if len(c.CompressionAlgorithms) > 0 {
		errs = append(errs, errors.New("compression_algorithms: has no effect: remove the key"))
	}
	for _, host := range c.Hosts {
		if !validHost.MatchString(host) {
			errs = append(errs, fmt.Errorf("hosts: %q is not a host name: write one such as videos.example.com, "+
				"without scheme, port and wildcards", host))
		}
	}
	if c.Directory == "" {
		errs = append(errs, fmt.Errorf("directory: is empty: write the folder for the tokens, such as %s",
			tokens.DefaultDirectory))
	}
	if c.SessionLifetime < time.Minute || c.SessionLifetime > 30*24*time.Hour {
		errs = append(errs, fmt.Errorf("session_lifetime: %s is out of range: write 1m to 720h", c.SessionLifetime))
	}
	if c.MaxUploadSize < 1 || c.MaxUploadSize > 1<<30 {
		errs = append(errs, fmt.Errorf("max_upload_size: %d is out of range: write 1 to 1073741824, in MiB",
			c.MaxUploadSize))
	}
	for _, link := range []struct{ key, value string }{{"jaeger", c.Links.Jaeger}, {"grafana", c.Links.Grafana}} {
		if u, err := url.Parse(link.value); link.value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https") {
			errs = append(errs, fmt.Errorf("links::%s: %q is not a URL: write one such as http://localhost:3000",
				link.key, link.value))
		}
	}
	return errors.Join(append(errs, c.Identity.validate()...)...)
}

var validHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^[0-9A-Fa-f:.]+$`)

func (c *Config) validateAddress() error {
	host, _, err := net.SplitHostPort(c.NetAddr.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint: %w: write a host and a port, such as %s", err, defaultEndpoint)
	case !isLocal(host) && !c.TLS.HasValue() && !c.BehindProxy:
		return fmt.Errorf("endpoint: %s can be reached from other machines: add tls, add behind_proxy: true if only a "+
			"proxy with TLS or this machine can reach it, or write %s", c.NetAddr.Endpoint, defaultEndpoint)
	}
	return nil
}

// isLocal reports whether a host can be reached only from this machine.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (i *Identity) validate() (errs []error) {
	valid := func(role consoleapi.Role) bool { return slices.Contains(consoleapi.Roles, role) }
	if i.Attribute == "" {
		errs = append(errs, errors.New("identity::attribute: is empty: write the one that has the name, such as subject"))
	}
	if i.Role != "" && !valid(i.Role) {
		errs = append(errs, fmt.Errorf("identity::role: %q is not known: use one of view, edit, review, operator, or "+
			"\"\" for nobody else", i.Role))
	}
	for name, role := range i.Roles {
		if !valid(role) {
			errs = append(errs, fmt.Errorf("identity::roles::%s: %q is not known: use one of view, edit, review, operator",
				name, role))
		}
	}
	return errs
}
