// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command write generates the dashboards in config/stack. Run it with `make dashboards`.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/internal/dashboards"
)

func main() {
	if err := write(filepath.Join("config", "stack", "grafana", "dashboards")); err != nil {
		fmt.Fprintln(os.Stderr, "write dashboards:", err)
		os.Exit(1)
	}
}

func write(directory string) error {
	all, err := dashboards.All()
	if err != nil {
		return err
	}
	for name, dashboard := range all {
		data, err := json.MarshalIndent(dashboard, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(directory, name), append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
