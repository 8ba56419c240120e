// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command write makes the files of config/stack/grafana/dashboards anew.
package main

import (
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

func write(folder string) error {
	for name, dashboard := range dashboards.All() {
		data, err := dashboard.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
