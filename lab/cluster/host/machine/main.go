// Machine starts one machine of a lab: a process that is the first of its own process, mount, network, host name and IPC
// namespaces and of its own control group, with the programs of a node or of the control plane beneath it.
//
//	machine start SPEC PARENT    starts it and ends; SPEC is a file of JSON, see spec, PARENT the process that asks
//
// The kernel keeps the books. Killing the machine's first process takes every process, mount, interface and packet filter rule of
// the machine with it, however many there are and whoever made them. On the host nothing is left but the machine's folder and its
// control group.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// spec is what a machine is made of. The paths are the host's.
type spec struct {
	// Name is the host name.
	Name string `json:"name"`
	// Folder has `etc`, `log` and `var`, which the machine sees as /run/lab/etc, /run/lab/log and /var.
	Folder string `json:"folder"`
	// Binaries is the folder that the machine sees as /run/lab/bin.
	Binaries string `json:"binaries"`
	// Groups are the folders of the control group that the machine's own processes live in, one a hierarchy.
	Groups []string `json:"groups"`
	// Addresses are the machine's own, on its loopback device: 10.0.0.1/32.
	Addresses []string `json:"addresses"`
	// Uplink leads to the machine that routes between all; none for that one.
	Uplink *uplink `json:"uplink"`
	// Forwards lead from the host's loopback device into the machine.
	Forwards []forward `json:"forwards"`
	// Programs run as long as the machine; each is started again a second after it ended.
	Programs []program `json:"programs"`
}

// uplink is a cable between a machine and the router.
type uplink struct {
	// Router is the process, on the host, whose network namespace routes.
	Router int `json:"router"`
	// Device is what the router calls its end.
	Device string `json:"device"`
	// Address is the machine's: 10.0.0.11.
	Address string `json:"address"`
	// Gateway is the router's address.
	Gateway string `json:"gateway"`
	// Networks are those that the router reaches through the machine: 10.1.1.0/24.
	Networks []string `json:"networks"`
}

// forward hands connections on.
type forward struct {
	// From is an address and port of the host.
	From string `json:"from"`
	// To is an address and port inside the machine.
	To string `json:"to"`
}

// program runs inside the machine.
type program struct {
	// Name is also that of its log.
	Name string `json:"name"`
	// Args begin with the program, which is looked for in /run/lab/bin first.
	Args []string `json:"args"`
	// Env is added to the little that every program gets.
	Env map[string]string `json:"env"`
	// After is what must answer before the program starts: `unix:/path` or `tcp:address:port`; or nothing.
	After string `json:"after"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "start":
		if err = follow(os.Args[3]); err == nil {
			err = start(os.Args[2])
		}
	case len(os.Args) == 3 && os.Args[1] == initArgument:
		err = initialize(os.Args[2])
	default:
		err = fmt.Errorf("usage: machine start SPEC PARENT")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "machine: %v\n", err)
		os.Exit(1)
	}
}

func read(path string) (*spec, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	machine := new(spec)
	if err := json.Unmarshal(bytes, machine); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return machine, nil
}
