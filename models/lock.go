// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed package-lock.json
var packageLock []byte

// PackageIntegrity returns the hash that the lock file pins for an npm package, given as name@version: "sha512-" and
// base64, for example. It returns an error for any other version.
func PackageIntegrity(spec string) (string, error) {
	var lock struct {
		Packages map[string]struct {
			Version   string `json:"version"`
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(packageLock, &lock); err != nil {
		return "", fmt.Errorf("package-lock.json: %w", err)
	}
	at := strings.LastIndex(spec, "@")
	if at < 1 {
		return "", fmt.Errorf("npm package %q must be name@version", spec)
	}
	entry, ok := lock.Packages["node_modules/"+spec[:at]]
	if !ok || entry.Version != spec[at+1:] || entry.Integrity == "" {
		return "", fmt.Errorf("package-lock.json does not pin %s: add it there", spec)
	}
	return entry.Integrity, nil
}
