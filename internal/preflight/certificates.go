// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// checkCertificates reads the files of each TLS block of the components in use and of the collector's own telemetry.
// The keys are those of the collector's package configtls.
func checkCertificates(root, service map[string]any) error {
	var errs []error
	for _, section := range []string{"receivers", "processors", "exporters", "connectors", "extensions"} {
		components, used := mapOf(root[section]), usedIn(service, section)
		for _, id := range slices.Sorted(maps.Keys(components)) {
			if used[id] {
				errs = append(errs, walk(section+"::"+id, components[id]))
			}
		}
	}
	return errors.Join(append(errs, walk("service::telemetry", service["telemetry"]))...)
}

// usedIn returns the IDs of the components in a section that the collector starts.
func usedIn(service map[string]any, section string) map[string]bool {
	used := map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			used[id] = true
		}
	}
	if section == "extensions" {
		add(textsOf(service["extensions"]))
		return used
	}
	for _, p := range readPipelines(service) {
		switch section {
		case "receivers":
			add(p.receivers)
		case "processors":
			add(p.processors)
		default: // connectors are listed among the exporters
			add(p.exporters)
		}
	}
	return used
}

// walk checks the blocks at and below a key.
func walk(key string, value any) error {
	var errs []error
	switch value := value.(type) {
	case map[string]any:
		errs = append(errs, checkBlock(key, value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			errs = append(errs, walk(key+"::"+name, value[name]))
		}
	case []any:
		for i, item := range value {
			errs = append(errs, walk(fmt.Sprintf("%s[%d]", key, i), item))
		}
	}
	return errors.Join(errs...)
}

const writePEM = "write the path of a PEM file that the collector can read"

func checkBlock(key string, block map[string]any) error {
	var errs []error
	content := map[string][]byte{}
	for _, name := range []string{"ca_file", "cert_file", "key_file", "client_ca_file"} {
		path, _ := block[name].(string)
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s::%s: %w: %s", key, name, err, writePEM))
			continue
		}
		content[name] = data
		if (name == "ca_file" || name == "client_ca_file") && !x509.NewCertPool().AppendCertsFromPEM(data) {
			errs = append(errs, fmt.Errorf("%s::%s: %s has no certificate: %s", key, name, path, writePEM))
		}
	}
	_, inTPM := block["tpm"]
	if cert, private := content["cert_file"], content["key_file"]; cert != nil && private != nil && !inTPM {
		if _, err := tls.X509KeyPair(cert, private); err != nil {
			errs = append(errs, fmt.Errorf("%s::key_file: %w: write the PEM files of a certificate and its key", key, err))
		}
	}
	return errors.Join(errs...)
}
