"""What stands for Yarotsky and Zhevnerchuk: rates of approximation."""
